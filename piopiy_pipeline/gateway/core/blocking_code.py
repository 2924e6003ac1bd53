"""`BlockingCode`: what is known of a call whose code blocks the event loop of its instance. No I/O.

Tested in `tests/gateway/core/test_blocked_instances.py`.
"""

from __future__ import annotations

from functools import partial

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState

__all__ = ["BlockingCode"]


class BlockingCode:
    """The code of one call that blocks, as its instance's watchdog says.

    Args:
        call: The call's state.
    """

    def __init__(self, call: GatewayCallState) -> None:
        self.place = ""
        """File, line and function; empty while the call blocks nothing."""
        self._call = call

    def blocks(self, place: str, *, began_at: float, limit_s: float) -> None:
        """Note that it blocks. The call ends `limit_s` seconds after `began_at`, the loop's time."""
        self.place = place
        detail = f"its code has blocked the agent for {limit_s:g} s at {place}"
        end = partial(self._call.end, reason=EndReason.ERROR, detail=detail)
        self._call.deadlines.set("blocked", began_at + limit_s, end)
        self._call.changed()

    def over(self) -> None:
        """Note that it blocks no more."""
        self.place = ""
        self._call.deadlines.off("blocked")
