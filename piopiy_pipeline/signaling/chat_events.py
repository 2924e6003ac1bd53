"""The messages between somebody who chats over a WebSocket and the gateway: ``/chat/{agent_id}``.

The client sends one `ChatStart`, with a client token or a caller key in it because a page cannot send headers, and
after `Answered` a `ChatText` for each message. What the bot writes comes as `ChatWords`, and each whole turn of either
side as a `ChatTurn`. Everything is JSON text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from piopiy_pipeline.signaling.caller import Leave
from piopiy_pipeline.signaling.chat import MAX_CHARACTERS
from piopiy_pipeline.signaling.json_messages import Message, parser
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf

__all__ = [
    "ChatCollecting",
    "ChatRefused",
    "ChatStart",
    "ChatStop",
    "ChatText",
    "ChatTool",
    "ChatToolResult",
    "ChatTurn",
    "ChatWords",
    "ChatWriting",
    "SentByPerson",
    "parse_chat_event",
]


class ChatStart(Message):
    """The first message: who chats, by a client token (`POST /api/tokens`) or a caller key.

    The token says who the caller is, and its metadata come first; `from_number` is for a caller key, and `metadata` for
    that and for a token that has none.
    """

    event: Literal["start"] = "start"
    token: Annotated[str, Field(min_length=1, max_length=8192)]
    from_number: Annotated[str, Field(max_length=256)] | None = None
    metadata: dict[str, Any] | None = None


def _has_words(text: str) -> str:
    if not text.strip():
        raise ValueError("has nothing but blanks")
    return text


class ChatText(Message):
    """A message of the person, which is a turn. While the bot writes, it cuts the bot off."""

    event: Literal["text"] = "text"
    text: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_has_words)]


class ChatStop(Message):
    """Stops the answer that is being written."""

    event: Literal["stop"] = "stop"


class ChatWords(Message):
    """Words of the bot, with the blanks around them: to be put behind those before them."""

    event: Literal["words"] = "words"
    text: str


class ChatWriting(Message):
    """Whether the bot writes."""

    event: Literal["writing"] = "writing"
    on: bool


class ChatCollecting(Message):
    """Whether code asks the person for a value: then a tool that is under way may wait for what they write next."""

    event: Literal["collecting"] = "collecting"
    on: bool


class ChatTurn(Message):
    """A whole turn, as it is in the conversation: of the bot, what was shown."""

    event: Literal["turn"] = "turn"
    role: Literal["user", "bot"]
    text: str
    interrupted: bool = False


class ChatTool(Message):
    """A tool has begun. Name and arguments are there as far as the bot's author tells clients of tools."""

    event: Literal["tool"] = "tool"
    id: str
    name: str | None = None
    arguments: dict[str, Any] | None = None


class ChatToolResult(Message):
    """A tool is over. Name and result are there as far as the bot's author tells clients of tools."""

    event: Literal["tool_result"] = "tool_result"
    id: str
    name: str | None = None
    result: Any = None
    cancelled: bool = False


class ChatRefused(Message):
    """A message of the person was not taken: it is empty, too long or unknown, or too many came. The chat goes on."""

    event: Literal["refused"] = "refused"
    detail: str


SentByPerson = ChatText | ChatStop | Leave | Dtmf | DataMessage
"""What somebody who chats sends when the chat has begun."""

_ChatEvent = Annotated[ChatStart | SentByPerson, Field(discriminator="event")]

parse_chat_event: Callable[[str | bytes], ChatStart | SentByPerson] = parser(_ChatEvent)
"""An event that somebody who chats has sent. Raises `ProtocolError`."""
