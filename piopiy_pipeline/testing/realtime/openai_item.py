"""An item of the conversation at OpenAI's realtime server: what was said, a tool's use, or its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from piopiy_pipeline.testing.realtime.scripted_model import HeldSpeech, packed_messages

__all__ = ["RealtimeItem"]


@dataclass(slots=True)
class RealtimeItem:
    """An item of the conversation at the server.

    Attributes:
        body: As it is published in events.
        heard: What the model has understood of the caller's audio.
        speech: What the model has said, if it is an answer in audio.
        in_text: What the model has written, if it is an answer in text.
    """

    body: dict[str, Any]
    heard: str = ""
    speech: HeldSpeech | None = None
    in_text: HeldSpeech | None = None

    @property
    def id(self) -> str:
        return str(self.body["id"])

    def text(self) -> str:
        """Return its words, as far as they were not truncated."""
        if said := self.speech or self.in_text:
            return said.text
        parts = self.body.get("content") or []
        return self.heard or " ".join(str(part.get("text") or part.get("transcript") or "") for part in parts)

    def messages(self) -> list[dict[str, Any]]:
        """Return it as messages of a chat."""
        match self.body["type"]:
            case "function_call":
                function = {"name": self.body["name"], "arguments": self.body.get("arguments", "")}
                call = {"id": self.body["call_id"], "type": "function", "function": function}
                return [{"role": "assistant", "tool_calls": [call]}]
            case "function_call_output":
                return [
                    {"role": "tool", "tool_call_id": self.body["call_id"], "content": self.body.get("output")}
                ]
        text = self.text()
        if self.body["role"] == "user" and (packed := packed_messages(text)):
            return packed
        return [{"role": self.body["role"], "content": text}]
