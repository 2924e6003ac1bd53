"""The content of a request to a network provider as JSON, by which `replay` finds the answer again.

It holds only what decides on the answer, and only what is named here: messages, tools and a few settings.
The ids of tool calls differ from run to run and mean nothing, so they are replaced by numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.services.ai_service import AIService
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.types import is_given
from pydantic import BaseModel

from piopiy_pipeline.capture.format import Kind

__all__ = [
    "beside_content",
    "jsonable",
    "kind_of",
    "llm_content",
    "runs_locally",
    "text_bytes",
    "tts_content",
]

_SETTINGS = {
    "stt": ("model", "language"),
    "llm": ("model", "system_instruction", "temperature", "max_tokens", "top_p", "top_k", "seed"),
    "tts": ("model", "voice", "language", "speed", "rate", "pitch"),
}
_BESIDE = ("max_tokens", "system_instruction", "response_schema")
"""The options of pipecat's `run_inference`, in their order."""
LONG = 20_000
"""A longer text (for example an image in base64) is written as its hash."""


def kind_of(stage: object) -> Kind | None:
    """Return which kind of service a stage is, or None if it is not a service."""
    if isinstance(stage, STTService):
        return "stt"
    if isinstance(stage, LLMService):
        return "llm"
    return "tts" if isinstance(stage, TTSService) else None


def runs_locally(stage: object) -> bool:
    """Return whether a service computes on this machine: whether its class says ``runs_locally = True``.

    The exchanges with such a service are not captured, because it runs again at a replay.
    """
    return bool(getattr(stage, "runs_locally", False))


def llm_content(service: AIService, context: LLMContext) -> dict[str, Any]:
    """Return what an LLM is asked: the messages so far, the tools it may use, and its settings."""
    numbers: dict[str, str] = {}
    messages = [_numbered(jsonable(message), numbers) for message in context.get_messages()]
    content: dict[str, Any] = {"messages": messages, "settings": _settings(service, "llm")}
    if is_given(context.tools):
        content["tools"] = [jsonable(tool.to_default_dict()) for tool in context.tools.standard_tools]
    return content


def beside_content(service: AIService, context: LLMContext, *given: Any, **options: Any) -> dict[str, Any]:
    """Return what an LLM is asked beside the conversation: for a summary, or to read an answer."""
    options |= zip(_BESIDE, given, strict=False)
    named = {name: jsonable(value) for name, value in options.items() if value is not None}
    return llm_content(service, context) | {"beside": named}


def tts_content(service: AIService, text: str) -> dict[str, Any]:
    """Return what a TTS is asked: the text and its settings."""
    return {"text": text.strip(), "settings": _settings(service, "tts")}


def _settings(service: AIService, kind: Kind) -> dict[str, Any]:
    values = {name: getattr(service.settings, name, None) for name in _SETTINGS[kind]}
    return {name: jsonable(value) for name, value in values.items() if value is not None and is_given(value)}


def jsonable(value: Any) -> Any:
    """Return a copy of `value` that is JSON. A value that JSON does not have becomes the name of its type."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        text = str(value)
        if len(text) <= LONG:
            return text
        return f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()} ({len(text)} characters)"
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, LLMSpecificMessage):
        return {"llm": value.llm, "message": jsonable(value.message)}
    if isinstance(value, BaseModel):
        return jsonable(value.model_dump(mode="json"))
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [jsonable(item) for item in value]
    return f"<{type(value).__name__}>"


def text_bytes(value: Any) -> int:
    """Return about how many bytes the texts of a JSON value have. A request to a model repeats the conversation."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + text_bytes(item) for key, item in value.items())
    return sum(map(text_bytes, value)) if isinstance(value, list) else 0


def _numbered(message: Any, numbers: dict[str, str]) -> Any:
    """Return a message with numbered tool call ids instead of the provider's: the first is ``call-1``.

    What a model is told of a tool that still runs has the id in its text, too.
    """

    def number(identity: Any) -> str:
        return numbers.setdefault(str(identity), f"call-{len(numbers) + 1}")

    if not isinstance(message, dict):
        return message
    message = dict(message)
    if "tool_call_id" in message:
        message["tool_call_id"] = number(message["tool_call_id"])
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [
            {**call, "id": number(call["id"])} if isinstance(call, dict) and "id" in call else call
            for call in calls
        ]
    if isinstance(text := message.get("content"), str) and '"tool_call_id"' in text:
        for identity, numbered in numbers.items():
            text = text.replace(
                f'"tool_call_id": {json.dumps(identity, ensure_ascii=False)}', f'"tool_call_id": "{numbered}"'
            )
        message["content"] = text
    return message
