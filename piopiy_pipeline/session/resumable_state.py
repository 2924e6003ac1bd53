"""What another instance of the agent would need to go on with a call, as JSON of a bounded size."""

from __future__ import annotations

import json
from typing import Any

from loguru import logger

__all__ = ["checkpoint_of"]

MAX_CHECKPOINT_BYTES = 900_000


def checkpoint_of(messages: list[Any], state: dict[str, Any], rtvi: str | None) -> dict[str, Any] | None:
    """The conversation, the author's `call.state`, and the version of RTVI that the client speaks, if it does.

    None for what is no JSON, or too long: the log says so.
    """
    known: dict[str, Any] = {"messages": messages, "state": state}
    if rtvi is not None:
        known["rtvi"] = rtvi
    try:
        text = json.dumps(known)
    except (TypeError, ValueError) as error:
        logger.warning("call.state or the context is not JSON, so this turn is not checkpointed: {}", error)
        return None
    if len(text) > MAX_CHECKPOINT_BYTES:
        logger.warning("the conversation is too long to be checkpointed: {} bytes", len(text))
        return None
    checkpoint: dict[str, Any] = json.loads(text)
    return checkpoint
