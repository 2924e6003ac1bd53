"""The messages of a text chat: those of RTVI (Pipecat's protocol for clients) that a chat needs, without pipecat.

They travel as `DataMessage`s, in both directions, whatever carries the chat: within one process, or over a gateway. So
a client of Pipecat's SDKs understands them, too.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = [
    "CLIENT_READY",
    "INTERRUPT",
    "MAX_CHARACTERS",
    "refusal_of",
    "send_text",
    "shown_turn",
    "tool_in",
    "turn_in",
    "words_of",
    "writing_of",
]

_LABEL = "rtvi-ai"
_WRITES = {
    "bot-llm-started": True,
    "bot-llm-stopped": False,
    "bot-tts-started": True,  # of a text that no model writes
    "bot-tts-stopped": False,
    "bot-interrupted": False,
}
MAX_CHARACTERS = 8000
"""The longest message that a bot takes in a chat."""

CLIENT_READY: dict[str, Any] = {
    "label": _LABEL,
    "type": "client-ready",
    "id": "ready",
    "data": {"version": "2.1.0", "about": {"library": "piopiy-chat"}},
}
"""The first message of a client: from then on it is told what happens."""
INTERRUPT: dict[str, Any] = {"label": _LABEL, "type": "interrupt-bot", "id": "stop", "data": {}}
"""Stops the answer that is being written. Not part of RTVI."""


def send_text(text: str, message_id: str) -> dict[str, Any]:
    """Return the message with which somebody says `text`."""
    return {"label": _LABEL, "type": "send-text", "id": message_id, "data": {"content": text}}


def words_of(message: dict[str, Any]) -> str | None:
    """Return the words that this message has the client show, with the blanks around them. None: it shows none."""
    if message.get("label") != _LABEL or message.get("type") != "bot-tts-text":
        return None
    data = message.get("data")
    text = data.get("text") if isinstance(data, dict) else None
    return text if isinstance(text, str) else None


def refusal_of(message: dict[str, Any]) -> str | None:
    """Return why a message of the client was refused, if this message says so."""
    if message.get("label") != _LABEL or message.get("type") != "error-response":
        return None
    data = message.get("data")
    return str(data.get("error", "refused")) if isinstance(data, dict) else "refused"


def writing_of(message: dict[str, Any]) -> bool | None:
    """Return whether the bot writes, if this message says that it has begun or stopped."""
    if message.get("label") != _LABEL:
        return None
    return _WRITES.get(str(message.get("type")))


def shown_turn(data: dict[str, Any], *, recorded: bool) -> dict[str, Any]:
    """Return the message that tells of a whole turn, behind its words. Not part of RTVI.

    Args:
        data: Its `role`, `text` and `interrupted`.
        recorded: Whether it is a turn of the record, too: an apology for a failure is none.
    """
    return {"label": _LABEL, "type": "turn", "data": {**data, "recorded": recorded}}


def turn_in(message: dict[str, Any]) -> tuple[bool, dict[str, Any]] | None:
    """Return whether a turn is one of the record, and the turn, if this message tells of one."""
    if message.get("label") != _LABEL or message.get("type") != "turn":
        return None
    data = message.get("data")
    return (data.get("recorded") is not False, data) if isinstance(data, dict) else None


def tool_in(message: dict[str, Any]) -> tuple[Literal["began", "over"], dict[str, Any]] | None:
    """Return whether a tool has begun or is over, and what the bot's author lets a client know of it, if this message
    says so.
    """
    if message.get("label") != _LABEL or not isinstance(data := message.get("data"), dict):
        return None
    match message.get("type"):
        case "llm-function-call-in-progress":
            return "began", data
        case "llm-function-call-stopped":
            return "over", data
    return None
