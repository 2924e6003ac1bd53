"""How an agent that drains asks the gateway to move a call to another instance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["Move"]


class Move(Message):
    """Asks that the call go to another instance, because this one drains. Its last checkpoint is how things stand.

    The call stays, with its audio, until another instance is ready; then the gateway says `Ended` with the reason
    ``moved``. It says nothing if nobody can take the call now, or if the conversation has gone on meanwhile: speech of
    the bot or another checkpoint has come. The agent asks again in the next pause.

    `heard_s` is how much of the caller's audio has come over the call's media stream, in seconds. What came later, and
    a little before, the next instance hears, too. None: all that was sent.
    """

    type: Literal["move"] = "move"
    call_id: Annotated[str, Field(min_length=1, max_length=64)]
    heard_s: Annotated[float, Field(ge=0)] | None = None
