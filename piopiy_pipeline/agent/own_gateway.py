"""`OwnGateway`: the gateway of an agent that serves Piopiy's cloud by itself, with ``Agent(cloud=True)``.

The cloud's calls are legs of a gateway (docs/cloud.md). An agent that has none starts one, as a process of its own on
this machine: what callers hear does not depend on the agent's event loop, and call workers find it as any other
gateway. It ends with the agent, and is started again if it ends before. It is started without a thread, because call
workers are forked from this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from loguru import logger

from piopiy_pipeline.arguments import check_switches

__all__ = ["CloudError", "OwnGateway", "wants_cloud"]

HOST = "127.0.0.1"
START_S = 60.0
"""How long the gateway may take until it listens, in seconds."""
AGAIN_S = 1.0
"""A gateway that has ended is started again after so many seconds."""
END_S = 8.0
"""How long it may take to end, in seconds, and again when it is told a second time. It ends its calls first."""
DRAIN_S = 86_400
"""Calls go on as long as the agent lets them: it is told to end its gateway when the last one has ended."""
MOST_CALLS = 200
"""Calls of an agent with a capacity of its own choice: it refuses more by its load."""
_REGISTERS = ("PIOPIY_REGISTER", "TELECMI_REGISTER")
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_READ_BYTES = 4096


class CloudError(Exception):
    """The gateway for Piopiy's cloud cannot be started. The text says what to do.

    Attributes:
        is_setting: Whether a setting is wrong, and nothing was tried.
    """

    def __init__(self, text: str, *, is_setting: bool = False) -> None:
        super().__init__(text)
        self.is_setting = is_setting


def wants_cloud(cloud: bool | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether an agent serves Piopiy's cloud by itself: its argument, or for None the environment's.

    Raises:
        TypeError: The argument is neither True, False nor None.
        ValueError: The variable says neither yes nor no.
    """
    if cloud is not None:
        check_switches(cloud=cloud)
        return cloud
    text = environment.get("PIOPIY_CLOUD", "").strip().lower()
    if text not in (*_YES, *_NO):
        raise ValueError(f"PIOPIY_CLOUD must be 1 or 0, not {text!r}")
    return text in _YES


def _wants_tls(environment: Mapping[str, str]) -> bool:
    text = environment.get("PIOPIY_TLS", "").strip().lower()
    if text not in (*_YES, *_NO):
        raise CloudError(f"PIOPIY_TLS must be true or false, not {text!r}", is_setting=True)
    return not text or text in _YES


class OwnGateway:
    """The gateway's process. `start` it before the agent connects, and `close` it in any case.

    Args:
        agent_id: The agent, in Piopiy's dashboard and at this gateway.
        token: Its token, in both places.
        capacity: How many calls it takes; None for as many as its load allows.
        environment: That of this process: what the cloud's variables are read from, and what the gateway inherits.

    Raises:
        CloudError: PIOPIY_TLS says neither yes nor no.
    """

    def __init__(
        self,
        agent_id: str,
        token: str,
        capacity: int | None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        with socket.create_server((HOST, 0)) as free:
            self._port: int = free.getsockname()[1]
        register = next((value for name in _REGISTERS if (value := environment.get(name))), None)
        cloud: dict[str, object] = {
            "agent_id": agent_id,
            "token": token,
            "max_calls": max(1, min(capacity or MOST_CALLS, 1000)),
            "address": register,
            "api_url": environment.get("PIOPIY_API_URL"),
            "accept": environment.get("PIOPIY_CLOUD_ACCEPT"),
            "tls": _wants_tls(environment),
        }
        cloud = {key: value for key, value in cloud.items() if value not in (None, "")}
        usual = {"PIOPIY_GATEWAY_WEBRTC_WORKERS": "0", "PIOPIY_GATEWAY_DRAIN_S": str(DRAIN_S)}
        self._environment = {
            **usual,
            **environment,
            "PIOPIY_GATEWAY_AGENTS": json.dumps({agent_id: token}),
            "PIOPIY_GATEWAY_CLOUD": json.dumps(cloud),
            "PIOPIY_GATEWAY_HOST": HOST,
            "PIOPIY_GATEWAY_PORT": str(self._port),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._alive = -1  # the end of a pipe that tells the gateway that this process is there
        self._again: asyncio.TimerHandle | None = None
        self._listening: asyncio.Future[bool] | None = None
        self._ended = asyncio.Event()
        self._drains = False
        self._closing = False
        self._cannot_start = False  # which is said once

    @classmethod
    def choose(
        cls, cloud: bool | None, signaling_url: object, *, agent_id: str, token: str, capacity: int | None
    ) -> Self | None:
        """Return the gateway of an agent with these arguments; None for an agent that connects to another one.

        Raises:
            TypeError: `cloud` is no switch.
            ValueError: The arguments contradict each other.
        """
        if not wants_cloud(cloud):
            return None
        if signaling_url:
            name = "PIOPIY_CLOUD" if cloud is None else "cloud=True"
            raise ValueError(
                f"{name} starts a gateway for Piopiy's cloud: leave signaling_url out, or leave it to the gateway there"
                " ([cloud] in its settings)"
            )
        return cls(agent_id, token, capacity)

    @property
    def url(self) -> str:
        """Where the gateway listens, or will."""
        return f"ws://{HOST}:{self._port}"

    async def start(self) -> None:
        """Start it, and return when it listens, or is told to drain.

        Raises:
            CloudError: It does not listen.
        """
        self._listening = asyncio.get_running_loop().create_future()
        self._launch()
        try:
            async with asyncio.timeout(START_S):
                listens = await self._listening
        except TimeoutError:
            raise CloudError(
                f"the gateway for Piopiy's cloud does not listen after {START_S:g} s: is this machine overloaded?"
            ) from None
        if not listens and not self._drains:
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):  # its output has ended, and it is about to
                await asyncio.to_thread(self._process.wait, END_S)
            sentence = "the gateway for Piopiy's cloud did not start: the line above says why"
            raise CloudError(sentence, is_setting=self._process.returncode == 2)

    def drain(self) -> None:
        """Have it take no more calls; those in progress go on. Returns at once, and so does `start` if it waits."""
        self._drains = True
        self._signal()
        self._listens(False)

    async def close(self) -> None:
        """End it, in a bounded time. May be called without a start."""
        self._closing = True
        if self._again is not None:
            self._again.cancel()
        if self._process is None:
            return
        for _ in range(2):
            self._signal()
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._ended.wait()
                    break
        self._collect()

    def _launch_again(self) -> None:
        """Start it anew, or try again later: what is missing, such as memory or descriptors, may be there then."""
        if self._drains or self._closing:
            return
        try:
            self._launch()
        except CloudError as error:
            if not self._cannot_start:
                logger.error("{}; trying again until it starts", error)
            self._cannot_start = True
            self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._launch_again)
        else:
            self._cannot_start = False

    def _launch(self) -> None:
        try:
            watched, alive = os.pipe()
        except OSError as error:
            raise CloudError(f"the gateway for Piopiy's cloud cannot be started: {error}") from None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "piopiy_pipeline.cli.bound_gateway", str(watched)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=(watched,),
                start_new_session=True,  # Ctrl-C is for the agent, which ends its gateway last
            )
        except OSError as error:
            os.close(alive)
            raise CloudError(f"the gateway for Piopiy's cloud cannot be started: {error}") from None
        finally:
            os.close(watched)
        self._alive = alive
        self._ended.clear()
        assert self._process.stdout is not None
        asyncio.get_running_loop().add_reader(self._process.stdout.fileno(), self._on_output)

    def _on_output(self) -> None:
        """Take the addresses that it prints, and the end of its output, which is its own."""
        assert self._process is not None
        assert self._process.stdout is not None
        printed = os.read(self._process.stdout.fileno(), _READ_BYTES)
        if printed:
            self._listens(True)
            return
        asyncio.get_running_loop().remove_reader(self._process.stdout.fileno())
        self._ended.set()
        started = self._listening is not None and self._listening.done() and self._listening.result()
        self._listens(False)
        if started and not self._closing and not self._drains:
            status = self._collect()
            logger.error("the gateway for Piopiy's cloud has ended ({}): starting it again", status)
            self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._launch_again)

    def _listens(self, so: bool) -> None:
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(so)

    def _signal(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _collect(self) -> int | None:
        """Kill what is left of the process, return its exit status, and close what was open for it."""
        process, self._process = self._process, None
        if process is None:
            return None
        if not self._ended.is_set():
            assert process.stdout is not None
            asyncio.get_running_loop().remove_reader(process.stdout.fileno())
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it, and whatever is left of its group
        status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        os.close(self._alive)
        return status
