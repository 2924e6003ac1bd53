"""Workers of pytest-xdist that are forked from a process which has collected all tests: hooks of pytest.

Each worker would import pipecat and all tests anew, which takes ten seconds of a core. One process does it, and forks
the workers (`tests.support.program_server`): they find every module loaded, and only make the list of tests. As long as
a worker runs there is the process that xdist has started for it. Run as a program, this module is that:

    python -m tests.support.forked_workers ADDRESS -u -c CODE

Where there are no such forks (elsewhere than on Linux, or if a test cannot be collected), that process is the worker.
Nor are there any if pytest was not started in the root of the repository.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Sequence
from typing import Any

from tests.support.handout import IS_SLOW, is_slow_machine
from tests.support.program_server import LENGTH_BYTES, Order
from tests.support.programs import ROOT, ServerProcess, have_programs_of, send_order

__all__ = ["pytest_configure", "pytest_configure_node", "pytest_unconfigure", "pytest_xdist_setupnodes"]

_PROGRAMS = "address of programs"
_servers: list[ServerProcess] = []
"""Those of this process, if it hands tests out: of the workers, and of their programs."""


def pytest_xdist_setupnodes(config: Any, specs: Sequence[Any]) -> None:
    """Have the workers forked."""
    if sys.platform != "linux" or config.invocation_params.dir != ROOT:
        return
    settings = ["--rootdir", str(config.rootpath), "-c", str(config.inipath or os.devnull)]
    _servers.extend([ServerProcess(*settings, *config.args), ServerProcess()])
    command = [sys.executable, "-m", "tests.support.forked_workers", _servers[0].address]
    for spec in specs:
        spec.python = shlex.join(command)


def pytest_configure_node(node: Any) -> None:
    """Tell a worker where its programs are forked, and whether the machine is slow."""
    node.workerinput[IS_SLOW] = is_slow_machine()
    if _servers:
        node.workerinput[_PROGRAMS] = _servers[1].address


def pytest_configure(config: Any) -> None:
    if (address := getattr(config, "workerinput", {}).get(_PROGRAMS)) is not None:
        have_programs_of(address)


def pytest_unconfigure() -> None:
    while _servers:
        _servers.pop().close()


def _order_worker(address: str, arguments: list[str]) -> int:
    """Have a worker forked with the streams of this process, and return its exit status. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX) as orders:
        orders.connect(address)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            order = Order(arguments, {**os.environ}, os.getcwd(), os.nice(0))  # noqa: PTH109
            send_order(order, [0, 1, 2, theirs.fileno()], orders)
            theirs.close()
            if not ours.recv(LENGTH_BYTES):
                raise ConnectionResetError("the server has ended")
            sys.stdin.close()
            return int.from_bytes(ours.recv(LENGTH_BYTES), "big", signed=True)


if __name__ == "__main__":
    _address, *_arguments = sys.argv[1:]
    try:
        _status = _order_worker(_address, [each for each in _arguments if each != "-u"])
    except OSError:
        os.execv(sys.executable, [sys.executable, *_arguments])
    os._exit(_status if _status >= 0 else 128 - _status)
