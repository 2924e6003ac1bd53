"""The state behind the handle of a call, for tests of what an author does not see."""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.session import Call, CallState
from piopiy_pipeline.signaling.messages import AgentMessage

__all__ = ["hear_posts", "state_of"]


def state_of(call: Call) -> CallState:
    """Return the state behind a call's handle."""
    return call._state


def hear_posts(call: Call, hear: Callable[[AgentMessage], None]) -> None:
    """Call `hear` with each message that the gateway is sent from now on."""
    state = state_of(call)
    post = state.post

    def heard(message: AgentMessage) -> None:
        hear(message)
        post(message)

    state.post = heard
