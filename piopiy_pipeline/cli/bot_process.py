"""A bot's process under `piopiy dev`: it is started from its own file, replaced when that changes or it dies,
and always ended.

Each process leads a process group of its own. So Ctrl-C reaches only `piopiy dev`, which then ends its bots
in order, and everything that a bot has started ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

__all__ = ["DRAIN_LIMIT", "BotProcess", "BotSupervisor"]

DRAIN_LIMIT = 4
"""How many replaced bots may still be finishing their calls; the oldest beyond that is ended."""
_END_S = 3.0  # a bot has this long after each SIGTERM: the first drains, the second ends its calls
_KILLED_S = 5.0
_POLL_S = 0.05
_SLOW_S = 20.0
_RESTARTS = 3
_RESTARTS_WITHIN_S = 60.0


class BotProcess:
    """One process of a bot. Make it with `start`."""

    def __init__(self, process: asyncio.subprocess.Process, alive: int) -> None:
        """Args:
        process: The process.
        alive: The end of a pipe that is written to by nobody, and closed when the process has ended. When it
            closes because this process was killed, `run_bot` ends the bot.
        """
        self._process = process
        self._alive = alive
        self.leaving = False
        """Whether it was asked to end, so that its end is not reported."""
        self.instance_id: str | None = None
        """The id of its instance, when it has registered."""

    @classmethod
    async def start(cls, path: Path, environment: Mapping[str, str]) -> Self:
        """Start a bot's file in a process of its own, and pass its output through.

        Args:
            path: The bot's file.
            environment: All environment variables of the process.

        Raises:
            OSError: The process cannot be started.
        """
        watched, alive = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "piopiy_pipeline.cli.run_bot",
                str(path),
                str(watched),
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(watched,),
                process_group=0,
            )
        except BaseException:
            os.close(alive)
            raise
        finally:
            os.close(watched)
        return cls(process, alive)

    @property
    def pid(self) -> int:
        """The id of the process, which is also its group's."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait until the process has ended. Returns its exit status, which is negative for a signal."""
        status = await self._process.wait()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        return status

    def drain(self) -> None:
        """Send SIGTERM: the bot finishes its calls and takes no more. A second SIGTERM ends its calls."""
        self.leaving = True
        if not self.ended:
            self._process.terminate()

    async def end(self) -> None:
        """End the process and everything that it started, within seconds, whatever they do."""
        for _ in range(2):
            self.drain()
            if await self._ended_within(_END_S):
                break
        self.kill_group()
        await self._ended_within(_KILLED_S)

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            return False
        return True

    def kill_group(self) -> None:
        """Kill everything that is left of the process and of what it started: its process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # nobody is left in it (macOS says it the second way)
            return


class BotSupervisor:
    """Keeps one bot serving. A new process takes over when it has registered, and the old one drains.

    One that took calls and died is started anew, three times a minute; one that never took calls is not.

    Args:
        path: The bot's file.
        environment: All environment variables of its processes.
        registered: Returns the ids of the instances that the gateway has.
        say: Tells the user a line.
        on_ready: Called when a process has registered.
        starting: Called with whether a process is being started of which it is not known yet that it takes calls.
    """

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        *,
        registered: Callable[[], set[str]],
        say: Callable[[str], None],
        on_ready: Callable[[], None],
        starting: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._environment = environment
        self._registered = registered
        self._say = say
        self._on_ready = on_ready
        self._tell_starting = starting
        self._serving: BotProcess | None = None
        self._starting: BotProcess | None = None
        self._bots: dict[BotProcess, asyncio.Task[None]] = {}
        self._instances: set[str] = set()
        self._restarted_at: deque[float] = deque(maxlen=_RESTARTS)
        self._closing = False

    async def launch(self) -> None:
        """Start a process from the file as it is now. A process that is still starting is given up."""
        if self._closing:
            return
        if self._starting is not None:
            self._starting.drain()
            self._begin(None)
        try:
            bot = await BotProcess.start(self._path, self._environment)
        except OSError as error:
            self._begin(None)
            self._say(f"{self._path} cannot be started: {error.strerror or error}")
            return
        self._begin(bot)
        self._bots[bot] = asyncio.create_task(self._follow(bot), name=f"bot {bot.pid}")

    def drain(self) -> None:
        """Ask all processes to end. `close` then waits until they have."""
        self._closing = True
        for bot in self._bots:
            bot.drain()

    async def close(self) -> None:
        """End every process, within a bounded time. It may be called more than once."""
        self._closing = True
        while self._bots:  # one that is being started anew comes after the others
            bots = dict(self._bots)
            await asyncio.gather(*(bot.end() for bot in bots))
            for task in bots.values():
                task.cancel()
            await asyncio.gather(*bots.values(), return_exceptions=True)
            for bot in bots:
                self._bots.pop(bot, None)

    def _begin(self, bot: BotProcess | None) -> None:
        """Note which process is being started; None: none is any more."""
        self._starting = bot
        self._tell_starting(bot is not None)

    async def _follow(self, bot: BotProcess) -> None:
        """Follow one process from its start to its end."""
        exited = asyncio.create_task(bot.wait())
        try:
            await self._wait_registered(bot)
            if bot.instance_id is not None:
                self._take_over(bot)
            status = await exited
        finally:
            exited.cancel()
        bot.kill_group()
        try:
            await self._ended(bot, status)
        finally:
            self._bots.pop(bot, None)

    async def _ended(self, bot: BotProcess, status: int) -> None:
        """Tell the user of a process that has ended unasked, and start one that died while it took calls anew."""
        was_serving = bot is self._serving
        if was_serving:
            self._serving = None
        if bot is self._starting:
            self._begin(None)
        if bot.leaving or self._closing:
            return
        how = f"with exit status {status}" if status >= 0 else f"by signal {-status}"
        if was_serving and self._starting is not None:
            self._say(f"the bot ended {how}; the next one is being started")
            return
        if was_serving and status != 0 and self._may_restart():
            self._say(f"the bot ended {how}. Starting it anew: its calls wait for it")
            await self.launch()
            return
        rest = "; no call is taken" if self._serving is None else "; the one before it goes on taking calls"
        if status == 0 and bot.instance_id is None:
            rest += ". It did not register: does its last line run agent.connect()?"
        self._say(f"the bot ended {how}{rest}. Waiting for a change of {self._path}")

    def _may_restart(self) -> bool:
        """Return whether a process that died may be started anew, and count that."""
        now = asyncio.get_running_loop().time()
        full = len(self._restarted_at) == _RESTARTS
        if full and now - self._restarted_at[0] < _RESTARTS_WITHIN_S:
            return False
        self._restarted_at.append(now)
        return True

    async def _wait_registered(self, bot: BotProcess) -> None:
        """Wait until the gateway has an instance that it did not have before, or the process has ended."""
        loop = asyncio.get_running_loop()
        slow_at: float | None = loop.time() + _SLOW_S
        while not (bot.ended or bot.leaving):
            if fresh := self._registered() - self._instances:
                self._instances |= fresh
                bot.instance_id = min(fresh)
                return
            if slow_at is not None and loop.time() >= slow_at:
                slow_at = None
                self._say(
                    f"{self._path.name} takes no calls yet after {_SLOW_S:g} s: it is loading models or packages, or "
                    "does not run agent.connect(). Who calls goes on ringing"
                )
            await asyncio.sleep(_POLL_S)

    def _take_over(self, bot: BotProcess) -> None:
        old, self._serving = self._serving, bot
        if bot is self._starting:
            self._begin(None)
        self._on_ready()
        if old is not None:
            old.drain()
        draining = [other for other in self._bots if other.leaving and not other.ended]
        for other in draining[: max(0, len(draining) - DRAIN_LIMIT)]:
            other.drain()
