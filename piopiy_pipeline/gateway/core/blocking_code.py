"""`BlockingCode`: what is known of a call whose code blocks the event loop of its instance, or may. No I/O.

Tested in `tests/gateway/core/test_blocked_instances.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call_state import EndCall, GatewayCallState

__all__ = ["BlockingCode"]


class BlockingCode:
    """The code of one call that blocks, as its instance's watchdog says. Every `now` is in seconds of one clock.

    Args:
        call: The call's state.
        end: Ends a call that no agent is to have any more.
    """

    SUSPECTED_S = 2.0
    """For how long a watchdog's word holds that the code may block, in seconds. It says so twice a second; on a busy
    machine it is late."""

    def __init__(self, call: GatewayCallState, end: EndCall) -> None:
        self.place = ""
        """File, line and function; empty while the call blocks nothing."""
        self.suspected = False
        """Whether it may block: its instance's loop runs it, or waits for a processor in it."""
        self._call = call
        self._end = end

    def may_block(self, now: float, *, otherwise: Callable[[float], None]) -> None:
        """Note that it may block.

        Args:
            now: The time.
            otherwise: Called with the time when nothing more was said of it for `SUSPECTED_S`.
        """
        if self.place:
            return

        def forget(now: float) -> None:
            self.suspected = False
            otherwise(now)

        self.suspected = True
        self._call.deadlines.set("blocked", now + self.SUSPECTED_S, forget)
        self._call.changed()

    def blocks(self, place: str, *, began_at: float, limit_s: float) -> None:
        """Note that it blocks. The call ends `limit_s` seconds after `began_at`, the loop's time."""
        self.place = place
        detail = f"its code has blocked the agent for {limit_s:g} s at {place}"
        end = partial(self._end, reason=EndReason.ERROR, detail=detail)
        self._call.deadlines.set("blocked", began_at + limit_s, end)
        self._call.changed()

    def over(self) -> None:
        """Note that it blocks no more."""
        self.place, self.suspected = "", False
        self._call.deadlines.off("blocked")
