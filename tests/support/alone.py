"""Runs a Python program in a network of its own, in which a line can be cut. It does not need root.

It is a network namespace of Linux inside a user namespace: loopback, and one address more, on one end of
a pair of virtual cables.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

__all__ = ["ADDRESS", "Cable", "run_alone"]

ADDRESS = "10.66.0.1"
"""The address that can be cut off."""
ROOT = Path(__file__).parent.parent.parent
_END_S = 30.0
_ALONE = ("unshare", "--user", "--map-root-user", "--net")
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

    Skips the test where this system makes no such networks. Raises `AssertionError` if the program fails.
    """
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("no unshare or no ip: a network of its own needs Linux with util-linux and iproute2")
    tried = subprocess.run([*_ALONE, "sh", "-c", _SET_UP], capture_output=True, text=True, timeout=20)
    if tried.returncode:
        pytest.skip(f"this system makes no network for one program: {tried.stderr.strip()}")
    program = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        [*_ALONE, "sh", "-c", _SET_UP + 'exec "$@"', "sh", *program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            printed, log = process.communicate(timeout=timeout_s)
        finally:
            _end(process)
    assert process.returncode == 0, f"{module} failed:\n{printed}\n{log}"
    return json.loads(printed.splitlines()[-1])


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that has not ended. It is interrupted first, so that it can end what it has started."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
