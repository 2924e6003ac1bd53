"""The messages that every leg process knows, and how those of one kind of process are read. No I/O.

Models forbid unknown keys, because a call would hang on a misspelt message.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from piopiy_pipeline.gateway.leg_processes.leg_frames import WireError
from piopiy_pipeline.signaling.messages import Message

__all__ = ["Census", "CensusTaken", "OfCall", "ProcessPing", "ProcessPong", "Ready", "message_parser"]


class Census(Message):
    """Count the legs and connections, for tests. The answer is `CensusTaken`."""

    event: Literal["census"] = "census"


class OfCall(Message):
    """What begins a leg says of which call it is, for the logs of the process."""

    call_id: str


class ProcessPing(Message):
    """A sign of life is wanted. The answer is `ProcessPong`."""

    event: Literal["ping"] = "ping"


class Ready(Message):
    """The process has loaded everything and can take legs."""

    event: Literal["ready"] = "ready"


class ProcessPong(Message):
    """The answer to a `ProcessPing`."""

    event: Literal["pong"] = "pong"


class CensusTaken(Message):
    """The number of `legs` that have a call or may get one, and of `connections` that exist in memory."""

    event: Literal["census"] = "census"
    legs: int
    connections: int


def message_parser(what: str, *kinds: type[Message]) -> Callable[[bytes], Message]:
    """Return a function that reads the body of an event as one of these messages, by its `event`.

    Args:
        what: Whose messages they are, for the `WireError` that the function raises for anything else.
        kinds: The messages.
    """
    union: Any = reduce(or_, kinds)
    adapter: TypeAdapter[Message] = TypeAdapter(Annotated[union, Field(discriminator="event")])

    def parse(body: bytes) -> Message:
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            raise WireError(f"no message {what}: {error.errors(include_input=False)}") from None

    return parse
