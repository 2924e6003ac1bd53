"""How an agent that has its home at one gateway takes a call at another one.

A gateway B with a call that none of its own instances can take asks the other gateways. The one at which an instance
with a free place is at home, A, keeps that place, and tells the instance where to go:

    A -> agent   roam         B's address, the call, a ticket, a deadline
    agent -> B   roaming      over a signaling connection to B, opened with the ticket, or open from an earlier call
    B -> agent   offer        the call, as to any other instance; or roam_refused, because it is not needed any more
    agent -> A   roam_result  the call is taken, and counted in the agent's status from now on; or the place is free

The words are those of mobile telephony, where who is away from the home network is roaming (3GPP TS 23.002). `messages`
has these as well. They are sent to gateways that name ``roaming`` among their features, and to agents that registered
with it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["Roam", "RoamRefused", "RoamResult", "Roaming"]

_CallId = Annotated[str, Field(min_length=1, max_length=64)]
_Ticket = Annotated[str, Field(min_length=16, max_length=128)]


class Roam(Message):
    """Asks an instance to take a call at another gateway, at the address `url`, within `deadline_ms`.

    `ticket` opens the signaling connection there, as a bearer token, and says on it which call is meant.
    """

    type: Literal["roam"] = "roam"
    call_id: _CallId
    url: Annotated[str, Field(min_length=1, max_length=512)]
    ticket: _Ticket
    deadline_ms: Annotated[int, Field(gt=0)]


class Roaming(Message):
    """Says to another gateway than the one at home that the instance is there for this call. The ticket is used up."""

    type: Literal["roaming"] = "roaming"
    call_id: _CallId
    ticket: _Ticket


class RoamRefused(Message):
    """Says that the other gateway does not need the instance for this call: it came too late, or the call is over."""

    type: Literal["roam_refused"] = "roam_refused"
    call_id: _CallId
    detail: str = ""


class RoamResult(Message):
    """Says to the gateway at home what became of a `Roam`.

    Whether the instance was offered the call and goes to take it. The status before this message counts it then.
    """

    type: Literal["roam_result"] = "roam_result"
    call_id: _CallId
    taken: bool
    detail: Annotated[str, Field(max_length=500)] = ""
