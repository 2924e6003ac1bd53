"""`LoopWatchdog`: a thread that notices when the event loop of an agent does not turn, and says which call is to blame.

One call that computes for seconds in its callback, a handler or a tool, or sleeps without `await`, freezes all calls
of its process. The watchdog looks ten times a second whether the loop has turned. If not, it looks at the stack, logs
the place and the call, and tells the gateway, which moves the other calls (`SilentInstances`). A loop that turns, but
takes an eighth of a second for each turn because of one call, or a fiftieth without a rest, is treated in the same way
(`SlowTurns`).

Time in which the loop's thread waits for a processor counts nowhere: a busy machine is no culprit.

What holds Python's global lock in C code stops this thread, too. Then the gateway has the missing heartbeats alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from loguru import logger

from piopiy_pipeline.agent.blocked_code import MANY_TASKS, UNKNOWN, BlockedCode, find_blocked_code
from piopiy_pipeline.agent.blocked_report import BlockedReport
from piopiy_pipeline.agent.forked_worker import SupervisorLink
from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.agent.linux_process import anonymous_mb, processor_wait_s
from piopiy_pipeline.agent.loop_turns import LoopStep, LoopTurns
from piopiy_pipeline.agent.loop_work import LoopWork
from piopiy_pipeline.agent.slow_turns import SlowTurns
from piopiy_pipeline.log import DEVELOPMENT
from piopiy_pipeline.session.tasks import CallTasks
from piopiy_pipeline.signaling.messages import Blocked

__all__ = ["LoopWatchdog", "WatchedInstance"]

LOOK_S = 0.1
CLOSE_LOOK_S = 0.05
CLOSE_LOOKS = 20
"""So many looks are as close when one has found that the loop had not turned."""
IDLE_S = 0.35
"""Without calls, heartbeats turn the loop, four times a second: it is asked only when so long none did."""
CALM_S = 0.35
"""So long a loop with calls may rest, whose callers are all silent: their audio comes every 0.32 s (`CalmPieces`),
and heartbeats in between.
"""
JOIN_S = 0.5
RESTLESS_S = 5.0
"""A loop that has had no rest for so long because of one call's tasks is told of, in seconds, though it turns well."""
MUCH_MB = 200
"""So much more memory than when a turn was first looked at is named beside the place, in MB."""


@dataclass(frozen=True, slots=True)
class WatchedInstance:
    """The instance whose loop is watched: how the gateway knows it, and where that is now."""

    agent_id: str
    instance_id: str
    gateway: Callable[[], GatewayAddress]
    token: str


class LoopWatchdog:
    """Watches the running event loop of this thread, from its creation to `close`.

    The sound of calls turns the loop, 31 times a second or, of silent callers, three times, and heartbeats four times.
    A loop for which none of these has done it, and that does not rest, is asked to turn.

    Args:
        instance: Whose loop it is; None: no gateway is told of it.
        limit_s: How long code of one call may block the loop, in seconds. Then the gateway ends the call.
        calls: Returns how many calls there are. It is called in the watchdog's thread.
        activity: Returns a number that changes whenever the loop turns, as long as there are calls, and with each
            heartbeat. It is called in the watchdog's thread. So a loop that is busy need not be asked to turn.
        gateway_listens: Returns whether the gateway takes what a watchdog says. It is called in the watchdog's thread.
        on_turned: Called in the loop when it turns again, with what blocked it and for how many seconds.
        supervisor: In a call worker, is told in the watchdog's thread that this process runs, and why it is killed at
            the limit: others take its place. None in an agent's own process, which is not killed.
    """

    def __init__(
        self,
        instance: WatchedInstance | None,
        *,
        limit_s: float,
        calls: Callable[[], int],
        activity: Callable[[], int],
        gateway_listens: Callable[[], bool],
        on_turned: Callable[[BlockedCode, float], None],
        supervisor: SupervisorLink | None = None,
    ) -> None:
        self._instance = instance
        self._limit_s = limit_s
        self._calls = calls
        self._activity = activity
        self._gateway_listens = gateway_listens
        self._on_turned = on_turned
        self._supervisor = supervisor
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._kernel_thread = threading.get_native_id()
        self._report = None if instance is None else BlockedReport(instance.gateway, instance.token)
        self._seen = -1
        self._answers = 0
        self._asked = False
        self._closed = threading.Event()
        self._code: BlockedCode | None = None
        self._memory_mb = 0.0  # of this process, when a turn was first looked at
        self._work = LoopWork(self._loop)
        self._slow = SlowTurns()
        self._slow_code: BlockedCode | None = None  # of the call that makes the loop slow
        self._slow_since = self._tell_slow_at = 0.0
        self._slow_limited = self._restless = False
        self._log_level = "ERROR" if os.environ.get(DEVELOPMENT) else "WARNING"
        self._thread = threading.Thread(target=self._run, name="piopiy watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and wait for the thread, `JOIN_S` at most."""
        self._closed.set()
        self._thread.join(JOIN_S)

    # ------------------------------------------------------------------ the watchdog's thread

    def _run(self) -> None:
        now = time.monotonic()
        turns = LoopTurns(now, look_s=LOOK_S, limit_s=self._limit_s)
        waited_s = processor_wait_s(self._kernel_thread)
        quiet_s, look_s, close_looks = 0.0, LOOK_S, 0
        while not self._closed.wait(look_s) and not self._loop.is_closed():
            if self._supervisor is not None:
                self._supervisor.on_look()
            turned = self._has_turned()
            quiet_s = 0.0 if turned else quiet_s + look_s
            if not turned and not self._asked and self._may_rest(quiet_s):
                turned = True  # nothing turns a loop that has nothing to do
            before_s, waited_s = waited_s, processor_wait_s(self._kernel_thread)
            before, now = now, time.monotonic()
            new_wait_s = waited_s - before_s
            step = turns.look(now, turned=turned, waited_s=new_wait_s)
            try:
                work = self._work.look(now - before - new_wait_s)
                self._look_for_slow_turns(now, turns.turn_s, turned=turned, work=work, waited_s=new_wait_s)
                if self._slow_code is None:
                    self._carry_out(step, turns.blocked_s)
            except Exception:  # whatever fails here, it goes on watching
                logger.exception("the watchdog of the event loop failed")
            if turned and self._slow_code is None and self._report is not None:
                self._report.withdraw()
            close_looks = close_looks - 1 if turned and not self._work.busy else CLOSE_LOOKS
            look_s = CLOSE_LOOK_S if close_looks > 0 else LOOK_S
            if not turned and not self._asked:
                self._asked = True
                self._call_in_loop(self._answer)
        if self._report is not None:
            self._report.close()

    def _may_rest(self, quiet_s: float) -> bool:
        """Return whether it is no news of a loop that it has not turned for so many seconds."""
        if not self._calls():
            return quiet_s < IDLE_S
        return (
            quiet_s < CALM_S
            and not self._work.busy
            and find_blocked_code(self._loop, self._loop_thread) is None
        )

    def _has_turned(self) -> bool:
        """Return whether the loop has turned since the last look."""
        before, self._seen = self._seen, self._activity() + self._answers
        return self._seen != before

    def _answer(self) -> None:
        """Show that the loop turns. It runs in the loop."""
        self._answers += 1
        self._asked = False

    def _call_in_loop(self, function: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # it was closed just now
            self._loop.call_soon_threadsafe(function, *arguments)

    def _carry_out(self, step: LoopStep, blocked_s: float) -> None:
        if step.turned_after_s is not None:
            self._over(step.turned_after_s)
            return
        if step.examine:
            self._examine(blocked_s, tell=step.tell)
        elif step.tell:
            self._suspect(blocked_s)
        code = self._code
        if code is None:
            return
        log = logger if code.call_id is None else logger.bind(call_id=code.call_id)
        if step.insist:
            log.error(
                "the event loop has been blocked for {:.1f} s at {}: all calls of this process wait. Stack: {}",
                blocked_s,
                code.place,
                " < ".join(code.stack),
            )
        if step.limit:
            self._limit(code, blocked_s)

    def _limit(self, code: BlockedCode, blocked_s: float) -> None:
        """Do what is to be done at the limit: the gateway ends the call, and nobody ends the code but its process."""
        logger.bind(**({} if code.call_id is None else {"call_id": code.call_id})).critical(
            "{} has blocked the event loop for {:.1f} s at {}{}",
            "no call that is known" if code.call_id is None else "this call",
            blocked_s,
            code.place,
            ": this call worker is killed" if self._supervisor else "",
        )
        if self._supervisor is not None:
            whose = "code of no call" if code.call_id is None else f"call {code.call_id}"
            blocked = f"{whose} has blocked its event loop for {blocked_s:.1f} s at {code.place}"
            self._supervisor.on_kill(f"its watchdog killed it, because {blocked}", code.call_id)
            os.kill(os.getpid(), signal.SIGKILL)

    def _look_for_slow_turns(
        self, now: float, turn_s: float, *, turned: bool, work: list[float], waited_s: float
    ) -> None:
        looks = self._work.busy or (not turned and self._slow.missed > 0)
        code = find_blocked_code(self._loop, self._loop_thread) if looks else None
        self._slow.look(now, turn_s, turned=turned, code=code, work=work, waited_s=waited_s)
        since = self._slow.since
        if since is None:
            self._slow_over()
            self._look_for_tasks_without_rest()
            return
        if self._slow_code is None:
            self._slow_began(since, now)
        if self._slow_code is None:
            return
        slow_s = now - since
        if now >= self._tell_slow_at and self._gateway_listens():
            self._tell_slow_at = now + LoopTurns.TELL_AGAIN_S
            self._tell(self._slow_code, slow_s, slow=True)
        if slow_s >= self._limit_s and not self._slow_limited:
            self._slow_limited = True
            self._limit(self._slow_code, slow_s)

    def _slow_began(self, since: float, now: float) -> None:
        code = self._slow.culprit()
        if code is None or code.call_id is None:
            return
        code = _with_tasks(code)
        self._code = None  # one turn is no news any more
        self._slow_code, self._slow_limited, self._slow_since, self._tell_slow_at = code, False, since, 0.0
        logger.bind(call_id=code.call_id).error(
            "the event loop has turned too slowly for {:.1f} s: this call is at {}: all calls of this process wait",
            now - since,
            code.place,
        )

    def _look_for_tasks_without_rest(self) -> None:
        """Name a call whose many tasks take a processor: thousands of `sleep(0)` are turns too short to be slow."""
        if self._work.busy_s < RESTLESS_S:
            self._restless = False
            return
        code = None if self._restless else self._slow.culprit()
        if code is not None and code is not (named := _with_tasks(code)):
            self._restless = True
            logger.bind(call_id=code.call_id).log(
                self._log_level,
                "the event loop has had no rest for {:.1f} s: this call takes a processor at {}",
                self._work.busy_s,
                named.place,
            )

    def _slow_over(self) -> None:
        code, self._slow_code = self._slow_code, None
        if code is not None:
            self._call_in_loop(self._on_turned, code, time.monotonic() - self._slow_since)

    def _suspect(self, blocked_s: float) -> None:
        """Tell the gateway whose code the loop is in. It may only wait for a processor, so nobody else is told."""
        code = find_blocked_code(self._loop, self._loop_thread)
        if code is not None and code.call_id is not None and self._gateway_listens():
            self._tell(code, blocked_s)

    def _examine(self, blocked_s: float, *, tell: bool) -> None:
        """Look at what blocks the loop, and tell the gateway. It is logged when it is found, not each time."""
        code = find_blocked_code(self._loop, self._loop_thread)
        first, self._code = self._code is None, code
        memory_mb = anonymous_mb(os.getpid()) or 0.0
        if first:
            self._memory_mb = memory_mb
        if code is None:
            return
        if (more_mb := memory_mb - self._memory_mb) >= MUCH_MB:
            self._code = code = replace(code, place=f"{code.place} ({more_mb:,.0f} MB more of memory since)")
        sure = blocked_s >= LoopTurns.TELL_S
        if tell and (sure or code.call_id is not None) and self._gateway_listens():
            self._tell(code, blocked_s)
        if first:
            log = logger if code.call_id is None else logger.bind(call_id=code.call_id)
            unknown = (
                code.call_id is None and code.place == UNKNOWN
            )  # nothing that anybody could do anything about
            log.log(
                "DEBUG" if unknown else self._log_level,
                "the event loop has not turned for {:.2f} s: {} is at {}",
                blocked_s,
                "code of no call that is known" if code.call_id is None else "this call",
                code.place,
            )

    def _tell(self, code: BlockedCode, blocked_s: float, *, slow: bool = False) -> None:
        if self._report is None or self._instance is None:
            return
        self._report.send(
            Blocked(
                agent_id=self._instance.agent_id,
                instance_id=self._instance.instance_id,
                call_id=code.call_id,
                place=code.place[:500],
                blocked_s=blocked_s,
                limit_s=self._limit_s,
                slow=slow,
            )
        )

    def _over(self, blocked_s: float) -> None:
        code, self._code = self._code, None
        if code is not None:
            self._call_in_loop(self._on_turned, code, blocked_s)


def _with_tasks(code: BlockedCode) -> BlockedCode:
    """Return the code of a call, with the number of its tasks beside the place if these are many."""
    tasks = 0 if code.call_id is None else CallTasks.count_of(code.call_id)
    return code if tasks < MANY_TASKS else replace(code, place=f"{code.place} ({tasks:,} tasks)")
