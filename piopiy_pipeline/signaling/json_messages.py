"""The form of every message between gateway, agent and caller: JSON that a model describes, and nothing else.

A message that fits no model raises `ProtocolError`, with what is wrong with it in a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.text import well_formed_json

__all__ = ["Message", "ProtocolError", "UnknownMessage", "dump", "parser", "without_none"]

_SECRET = re.compile(r"""(?is)("\w*(?:token|key|secret|password)"\s*:\s*)"(?:[^"\\]|\\.)*(?:"|$)""")


class ProtocolError(ValueError):
    """A message that fits no model of the protocol."""


class UnknownMessage(ProtocolError):
    """A message of a kind that this version does not know: the other side may be newer."""


class Message(BaseModel):
    """The base of all messages: frozen, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parser(union: Any) -> Callable[[str | bytes], Any]:
    """Make a function that reads JSON text as one of a union of messages.

    Args:
        union: The annotated union, with its discriminator.

    Returns:
        A function of text (`bytes` are UTF-8) that returns a message, or raises `ProtocolError`: of a kind that is
        not in the union, `UnknownMessage`.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(union)

    def parse(text: str | bytes) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = "" if first["loc"] else "message: "
            kind = UnknownMessage if first["type"] == "union_tag_invalid" else ProtocolError
            raise kind(f"{where}{fault_text(first)} in {_beginning(text)}") from None

    return parse


def dump(message: Message) -> str:
    """Return the message as JSON text. Half of a surrogate pair, which JSON in UTF-8 cannot hold, becomes U+FFFD.

    Raises:
        ValueError: The message holds something that is not JSON.
    """
    try:
        return message.model_dump_json()
    except PydanticSerializationError as error:
        try:
            plain = json.loads(
                json.dumps(well_formed_json(message.model_dump())), parse_constant=lambda _: None
            )
            return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        except TypeError:
            raise error from None


def _beginning(message: str | bytes, limit: int = 200) -> str:
    text = message if isinstance(message, str) else message[: limit * 4].decode("utf-8", "replace")
    text = _SECRET.sub(r'\1"…"', text)
    return text if len(text) <= limit else f"{text[:limit]}…"


def without_none(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leave out what the other side may be too old to know, where there is nothing of it."""
    return {key: value for key, value in fields.items() if key not in names or value is not None}
