"""Why a call of a soak may end before its caller hangs up, and what an agent may hold when all calls are over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

__all__ = ["ALONE_S", "ENDS", "STOOD_S", "UNBOUNDED", "SoakedCall", "explanation", "left_at"]

ALONE_S = 10.0
"""How long after a time without any agent a call may still end of it: it is offered again for 5 s, the last of these
offers may take 2 s, and a busy machine tells late."""
MAX_LOSSES = 3
NO_START = "no start"
"""What the gateway says to a caller who has connected, and does not place a call."""
HEARD_S = 15.0
"""A caller who has heard nothing for so long was not served."""
AS_NEEDED = ("asyncio_", "offload_")
"""How the threads of asyncio's executor and of `offload()` are called, which are made when they are needed, few, and
kept."""
FDS_LEFT = 3
"""Descriptors by which two counts may differ: a log file, a socket that is being closed."""
STOOD_S = 2.0
"""As long as an instance may take for an offer here."""
ENDS: dict[str, frozenset[str]] = {
    "raises_in_the_callback": frozenset({"error"}),
    "raises_in_a_handler": frozenset(),
    "raises_in_a_stage": frozenset({"error"}),
    "raises_in_a_tool": frozenset(),
    "sys_exit_in_a_tool": frozenset(),
    "tool_never_returns": frozenset({"idle_timeout", "error"}),
    "tool_gives_no_result": frozenset({"idle_timeout", "error"}),
    "model": frozenset({"error"}),
    "sleeps": frozenset({"error"}),
    "os_exit": frozenset({"error"}),
    "segfaults": frozenset({"error"}),
}
"""How calls with these faults may end before their caller hangs up. Where a call goes on after a resume, it speaks. One
that ends its process ends with `error` if its code has held that up before, so that the watchdog has named it.
"""
UNBOUNDED = {name: frozenset({"error"}) for name in ("endless_voice", "floods")}


def explanation(
    fault: str, reason: str, detail: str, since_alone_s: float, since_unheard_s: float, stood_s: float
) -> str:
    """Return why a call may have ended so; empty if it may not.

    Args:
        fault: What is to go wrong in the call; empty: nothing.
        reason: Why it ended.
        detail: The same in a sentence.
        since_alone_s: When there was no agent last, in seconds before its end.
        since_unheard_s: When the gateway heard of none last.
        stood_s: For how long this process, which has little to do, got no time in the last `ALONE_S` seconds.
    """
    if reason in (ENDS | UNBOUNDED).get(fault, ()):
        return "its own fault"
    if reason == "agent_lost" and f"after {MAX_LOSSES} others" in detail:
        return "its agents were lost four times"
    if reason == "error" and "processes of the agent have ended under this call" in detail:
        return "its call workers were lost twice"
    if reason in ("agent_lost", "no_agent", "busy", "shutdown"):
        if since_alone_s < ALONE_S:
            return "no agent was alive"
        if since_unheard_s < ALONE_S:
            return "the gateway heard of no agent"
    # Of a caller without a start, it is this process that was late to send one.
    late = reason in ("agent_lost", "busy", "setup_timeout", "shutdown") or detail.startswith(NO_START)
    if late and stood_s >= STOOD_S:
        return "the machine stood still"
    return ""


@dataclass(frozen=True, slots=True)
class SoakedCall:
    """A call that is over.

    Attributes:
        fault: What was to go wrong in it; empty: nothing.
        lasted_s: How long it lasted, in seconds.
        heard: Whether its caller has heard a bot.
        ended: The reason and the detail with which it ended; None if its caller has hung up.
    """

    fault: str
    lasted_s: float
    heard: bool
    ended: tuple[str, str] | None = None

    def judge(self, since_alone_s: float, since_unheard_s: float, stood_s: float) -> tuple[str, str]:
        """Judge the call; the arguments are those of `explanation`.

        Returns:
            How it is counted; and what is wrong, empty if all is well or explained.
        """
        name = self.fault or "good"
        if self.ended is None:
            deaf = not self.fault and not self.heard and self.lasted_s > HEARD_S
            return f"{name}: hung up", f"a call of {self.lasted_s:.1f} s heard nothing" if deaf else ""
        reason, detail = self.ended
        why = explanation(self.fault, reason, detail, since_alone_s, since_unheard_s, stood_s)
        if why:
            return f"{name}: {reason} ({why})", ""
        return f"{name}: {reason}", f"{name} call ended after {self.lasted_s:.1f} s: {reason} ({detail})"


def left_at(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what an agent of this name holds without a call that a new one of its kind does not, as sentences."""
    left = [f"{name}: {after[what]} {what}" for what in ("calls", "vad_streams") if after[what] != 0]
    for what in ("tasks", "threads"):
        held = [each for each in after[what] if not each.startswith(AS_NEEDED)]
        if extra := Counter(held) - Counter(before[what]):
            left.append(f"{name}: {what} {dict(extra)}")
    if after["fds"] > before["fds"] + FDS_LEFT:
        left.append(f"{name}: {after['fds']} descriptors, {before['fds']} when it was new")
    return left
