"""Piopiy's own REST clients of PyPI, each in a process of its own, as its users have it: `calls` says what it does.

They are downloaded with pip, and unpacked beside this project: their package `piopiy` has our name.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CLIENTS", "Refused", "RemoteClient", "clients_folder", "running"]

CLIENTS = ("piopiy==1.2.2", "piopiy-agent==1.2.1")
PATIENCE_S = 60.0

_REST = """
import json, sys
from piopiy_voice import PiopiyAPIError, PiopiyValidationError, RestClient
client = RestClient(token=sys.argv[2], base_url=sys.argv[1] + "/v3")
for line in sys.stdin:
    name, arguments = json.loads(line)
    resource, method = name.split(".")
    try:
        answer = {"ok": getattr(getattr(client, resource), method)(**arguments)}
    except (PiopiyAPIError, PiopiyValidationError) as error:
        status, body = getattr(error, "status_code", 0), getattr(error, "payload", {})
        answer = {"refused": str(error), "status": status, "body": body}
    print(json.dumps(answer), flush=True)
"""

_CONTROL = """
import asyncio, json, os, sys, types
from dataclasses import asdict, is_dataclass
from importlib.util import find_spec
if find_spec("grpc") is None:  # its package imports that for a worker, which nobody is here
    package = sys.modules["piopiy_agent"] = types.ModuleType("piopiy_agent")
    package.__path__ = [os.path.join(os.environ["PYTHONPATH"], "piopiy_agent")]
from piopiy_agent.control import PiopiyAPIError, PiopiyCallControl

async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, arguments = json.loads(line)
        call_id = arguments.pop("call_id")
        async with PiopiyCallControl(call_id, token=sys.argv[2], api_url=sys.argv[1] + "/v3") as control:
            try:
                found = await getattr(control, name)(**arguments)
                answer = {"ok": asdict(found) if is_dataclass(found) else found}
            except PiopiyAPIError as error:
                answer = {"refused": str(error), "status": error.status, "body": error.body}
        print(json.dumps(answer), flush=True)

asyncio.run(main())
"""


class Refused(Exception):
    """The client raised its error: what it says, the status, and the body that came."""

    def __init__(self, text: str, status: int, body: dict[str, Any]) -> None:
        super().__init__(text)
        self.status = status
        self.body = body


def clients_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Download both clients, and return the folder that has their packages. Skips the test without an index."""
    folder = tmp_path_factory.mktemp("clients")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        folder / "wheels",
        *CLIENTS,
    ]
    got = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if got.returncode:
        pytest.skip(f"no package index is reachable: {got.stderr[-300:]}")
    for wheel in (folder / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder / "packages")
    return folder / "packages"


class RemoteClient:
    """A client in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def calls(self, name: str, **arguments: Any) -> Any:
        """Call a method of the client, and return what it returns. Raises `Refused` for the client's own errors."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            line = await self._process.stdout.readline()
        assert line, "the client has ended: its process says why"
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"], answer["status"], answer["body"])
        return answer["ok"]


@asynccontextmanager
async def running(kind: str, folder: Path, url: str, token: str) -> AsyncIterator[RemoteClient]:
    """Run a client: ``"rest"`` is `piopiy_voice.RestClient`, ``"control"`` `piopiy_agent.control`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _REST if kind == "rest" else _CONTROL, url, token,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_PROXY": "*"},
    )  # fmt: skip
    try:
        yield RemoteClient(process)
    finally:
        process.kill()
        await process.wait()
