"""Starts a gateway that telephones can call and an agent that echoes, each in a process of its own, to be
measured.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child_process import START_LIMIT_S, Program, program

__all__ = [
    "EchoGateway",
    "cpu_s",
    "echo_gateway",
    "free_port",
    "memory_mb",
    "start_process",
    "wait_until_listening",
]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class EchoGateway:
    """The ids of both processes, the port that telephones call, and where and with which key callers do over a
    WebSocket.
    """

    gateway: int
    agent: int
    sip_port: int
    url: str
    key: str


async def echo_gateway(stack: AsyncExitStack, *, calls: int) -> EchoGateway:
    """Start both processes. They end with `stack`.

    Args:
        stack: Ends the processes.
        calls: How many calls they must take at once.

    Raises:
        Failed: A process does not start.
    """
    token, key, port, sip_port = secrets.token_hex(8), secrets.token_hex(8), free_port(), free_port()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    settings = folder / "gateway.toml"
    settings.write_text(
        f"port = {port}\nwebrtc_workers = 0\nrecords = false\nmax_calls = {calls}\noffer_ms = 5000\n"
        f'caller_keys = ["{key}"]\n'
        f'[agents]\necho = "{token}"\n'
        f'[sip]\nport = {sip_port}\ncallers = "anyone"\ndefault_agent = "echo"\ncodecs = ["PCMU"]\n'
        f"max_calls_per_source = {calls}\n"
    )
    gateway = await start_process(stack, "piopiy_pipeline.cli", "gateway", "--config", str(settings))
    agent_options = ["--url", f"ws://127.0.0.1:{port}", "--token", token, "--capacity", str(calls)]
    await wait_until_listening(port, gateway)
    agent = await start_process(stack, "benchmarks.echo_agent", *agent_options)
    await asyncio.sleep(2.0)
    if agent.has_ended:
        raise agent.failed("the agent did not start")
    return EchoGateway(gateway.pid, agent.pid, sip_port, f"ws://127.0.0.1:{port}", key)


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the memory that a process uses, in MB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


async def start_process(stack: AsyncExitStack, *command: str) -> Program:
    """Start a module as a process. It ends with `stack`."""
    return await stack.enter_async_context(program(sys.executable, "-m", *command, environment=ONE_THREAD))


async def wait_until_listening(port: int, started: Program) -> None:
    """Wait until a process listens. Raises `Failed` if it ends, or after a minute."""
    until = time.monotonic() + START_LIMIT_S
    while not started.has_ended and time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise started.failed("the gateway did not start")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
