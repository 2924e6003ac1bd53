"""Runs a Python program in a network of its own, in which a line can be cut. It does not need root.

It is a network namespace of Linux inside a user namespace: loopback, and one address more, on one end of
a pair of virtual cables. The program is forked from the server of `tests.support.programs`. What it has forked itself
comes from a second such server, which is a fork of it and so in the same network.

    python -m tests.support.alone MODULE ARGUMENTS      what is forked
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.program_server import Order, ProgramServer, run_order
from tests.support.programs import Program, have_programs_of

__all__ = ["ADDRESS", "Cable", "run_alone"]

ADDRESS = "10.66.0.1"
"""The address that can be cut off."""
_END_S = 30.0
_ALONE = ("unshare", "--user", "--map-root-user", "--net")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SET_UP = f"""set -e
ip link set lo up
ip link add cable0 type veth peer name cable1
ip address add {ADDRESS}/24 dev cable0
ip link set cable0 up
ip link set cable1 up
"""


class Cable:
    """Cuts the address off and connects it again. What is sent to it meanwhile is lost silently, as by radio."""

    _ROUTE = ("local", ADDRESS, "dev", "cable0", "table", "local")

    def cut(self) -> None:
        subprocess.run(["ip", "route", "del", *self._ROUTE], check=True)

    def mend(self) -> None:
        scope = ("proto", "kernel", "scope", "host", "src", ADDRESS)
        subprocess.run(["ip", "route", "add", *self._ROUTE, *scope], check=True)


def run_alone(module: str, *arguments: str, timeout_s: float) -> Any:
    """Run ``python -m module arguments`` there, and return the JSON in the last line of its output.

    Skips the test where this system makes no such networks. Raises `AssertionError` if the program fails, and
    `TimeoutError` if it takes longer.
    """
    if (why := _why_not()) is not None:
        pytest.skip(why)
    status, printed, log = asyncio.run(_run(module, arguments, timeout_s))
    assert status == 0, f"{module} failed:\n{printed}\n{log}"
    return json.loads(printed.splitlines()[-1])


@cache
def _why_not() -> str | None:
    """Return why this system makes no network for one program, or None if it does."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "no unshare or no ip: a network of its own needs Linux with util-linux and iproute2"
    tried = subprocess.run([*_ALONE, "sh", "-c", _SET_UP], capture_output=True, text=True, timeout=20)
    if tried.returncode:
        return f"this system makes no network for one program: {tried.stderr.strip()}"
    return None


async def _run(module: str, arguments: tuple[str, ...], timeout_s: float) -> tuple[int, str, str]:
    program = await Program.start("-m", __name__, module, *arguments, environment=os.environ)
    told = asyncio.create_task(program.communicate())
    try:
        async with asyncio.timeout(timeout_s):
            printed, log = await asyncio.shield(told)
    finally:
        await _end(program, told)
    return await program.wait(), printed.decode(), log.decode()


async def _end(program: Program, told: asyncio.Task[tuple[bytes, bytes]]) -> None:
    """End a program that has not ended. It is interrupted first, so that it can end what it has started."""
    program.send_signal(signal.SIGINT)
    await asyncio.wait([told], timeout=_END_S)
    await program.close()
    await told


def _be_alone() -> None:
    """Bring this process into a network of its own. It has no other thread."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "this system makes no network for one program")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"0 {user} 1")
    (own / "gid_map").write_text(f"0 {group} 1")
    subprocess.run(["sh", "-c", _SET_UP], check=True)


def _serve_programs() -> Order | None:
    """Fork a server of programs, which ends with this process. Returns what one of its forks has to run."""
    address = "\0orders"  # no path, but a name in this network
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        end, kept = os.pipe()  # `kept` is open as long as this process is there
        if os.fork() == 0:
            os.close(kept)
            os.dup2(end, 0)
            os.close(end)
            order = ProgramServer(listener).serve()
            if order is None:
                os._exit(0)
            return order
        os.close(end)
    have_programs_of(address)
    return None


def _main() -> None:
    if (order := _serve_programs()) is not None:
        run_order(order)
    else:
        _, module, *arguments = sys.argv
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _be_alone()
    _main()
