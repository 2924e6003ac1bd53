"""Why a call of a soak may end before its caller hangs up."""

from __future__ import annotations

__all__ = ["ALONE_S", "ENDS", "STOOD_S", "UNBOUNDED", "explanation"]

ALONE_S = 10.0
"""How long after a time without any agent a call may still end of it: it is offered again for 5 s, the last of these
offers may take 2 s, and a busy machine tells late."""
MAX_LOSSES = 3
NO_START = "no start"
"""What the gateway says to a caller who has connected, and does not place a call."""
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
