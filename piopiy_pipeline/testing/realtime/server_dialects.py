"""How the realtime servers of OpenAI's mould differ: settings, events, and what they refuse.

As published: OpenAI's API reference (realtime, GA), xAI's Voice Agent API, Inworld's Realtime API (WebSocket), and
Microsoft's Voice live API reference. What a provider does not publish, its server refuses, so that a client which
guesses is found out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

__all__ = ["GrokDialect", "InworldDialect", "ServerDialect", "VoiceLiveDialect"]

RATE = 24000
VAD = {"type", "threshold", "prefix_padding_ms", "silence_duration_ms"}
ANSWERS = {"create_response", "interrupt_response"}


class ServerDialect:
    """OpenAI's own."""

    session: ClassVar[Collection[str] | None] = None
    """The settings that a session has; None: whatever is given."""
    detection: ClassVar[Collection[str] | None] = None
    """The settings of its turn detection."""
    response: ClassVar[Collection[str] | None] = None
    """What may be said of an answer that is asked for."""
    kinds: ClassVar[Mapping[str, str]] = {}
    """Its names of events, where they are others."""
    said: ClassVar[Collection[str]] = {"output_text"}
    """The kinds of content of what the bot has said."""
    roles: ClassVar[Collection[str]] = {"user", "assistant", "system"}
    has_done: ClassVar[bool] = True
    """Whether the end of each item is told by an event of its own."""
    names_tools: ClassVar[bool] = True
    """Whether the end of a tool's arguments bears its name."""

    def refuses_path(self, path: str) -> str:
        """Return why a client may not connect by this path; empty: it may."""
        return ""

    # ------------------------------------------------------------------ settings

    def refuses_session(self, given: Mapping[str, Any]) -> str:
        """Return what is wrong with settings; empty: nothing."""
        if self.session is not None and (unknown := set(given) - set(self.session)):
            return f"Unknown parameter: 'session.{min(unknown)}'."
        detection = self.turn_detection(given, given=True)
        if self.detection is not None and detection and (unknown := set(detection) - set(self.detection)):
            return f"Unknown parameter: 'session.turn_detection.{min(unknown)}'."
        for side in ("input", "output"):
            asked = ((given.get("audio") or {}).get(side) or {}).get("format") or {}
            if why := self.refuses_format(asked):
                return why
        return ""

    def refuses_format(self, asked: Mapping[str, Any]) -> str:
        """Return what is wrong with a format of audio; empty: nothing."""
        if asked and (asked.get("type") != "audio/pcm" or asked.get("rate", RATE) != RATE):
            return f"this server has audio/pcm at {RATE} Hz only, not {asked}"
        return ""

    def turn_detection(self, body: Mapping[str, Any], *, given: bool = False) -> dict[str, Any] | None:
        """Return how the provider detects turns; None: the client does."""
        return _detection(_audio(body, "input"), given)

    def transcription(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how the caller's words are written down; None: they are not."""
        return _audio(body, "input").get("transcription")

    def voice(self, body: Mapping[str, Any]) -> Any:
        return _audio(body, "output").get("voice")

    def rates(self, body: Mapping[str, Any]) -> tuple[int, int]:
        """Return the sample rates of what is heard and of what is said, in Hz."""
        return _rate(body, "input"), _rate(body, "output")

    def modalities(self, body: Mapping[str, Any]) -> Collection[str]:
        """Return whether a session, or an answer, is in ``audio`` or in ``text`` alone; empty: it does not say."""
        return body.get("output_modalities") or ()

    # ------------------------------------------------------------------ answers

    def refuses_response(self, asked: Mapping[str, Any]) -> str:
        """Return what is wrong with how an answer is asked for; empty: nothing."""
        if self.response is not None and (unknown := set(asked) - set(self.response)):
            return f"Unknown parameter: 'response.{min(unknown)}'."
        return ""

    def exact_text(self, asked: Mapping[str, Any]) -> str | None:
        """Return what an answer is to be without the model; None: the model decides."""
        return None

    # ------------------------------------------------------------------ events

    def as_told(self, kind: str, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return the events that tell what OpenAI's event tells."""
        if kind == "conversation.item.done" and not self.has_done:
            return []
        if kind == "response.function_call_arguments.done" and not self.names_tools:
            body = {name: value for name, value in body.items() if name != "name"}
        return [(self.kinds.get(kind, kind), body)]


class GrokDialect(ServerDialect):
    """xAI's. It says nothing of leaving answers to the client, and has an item for what is said word for word."""

    session: ClassVar[Collection[str] | None] = {
        "instructions", "voice", "turn_detection", "audio", "tools", "reasoning", "resumption", "replace",
    }  # fmt: skip
    detection: ClassVar[Collection[str] | None] = VAD | {"idle_timeout_ms"}
    response: ClassVar[Collection[str] | None] = {"modalities", "instructions"}
    said: ClassVar[Collection[str]] = {"text", "output_text"}
    has_done = False

    def refuses_format(self, asked: Mapping[str, Any]) -> str:
        rates = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
        return "" if not asked or asked.get("rate", RATE) in rates else f"Invalid rate: {asked}"

    def turn_detection(self, body: Mapping[str, Any], *, given: bool = False) -> dict[str, Any] | None:
        return _detection(body, given)

    def voice(self, body: Mapping[str, Any]) -> Any:
        return body.get("voice")

    def transcription(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        return super().transcription(body) or {}  # they are written down unasked

    def as_told(self, kind: str, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        if kind == "session.created":
            conversation = {"id": "conv_1", "object": "realtime.conversation"}
            return [(kind, body), ("conversation.created", {"conversation": conversation})]
        if kind == "conversation.item.input_audio_transcription.delta":
            return []  # they are told by `updated`, to those who have asked for it
        return super().as_told(kind, body)


class InworldDialect(ServerDialect):
    """Inworld's: OpenAI's names and settings, with a router of models behind them."""

    session: ClassVar[Collection[str] | None] = {
        "type", "model", "instructions", "temperature", "output_modalities", "audio", "tools", "tool_choice",
        "max_output_tokens", "providerData",
    }  # fmt: skip
    detection: ClassVar[Collection[str] | None] = VAD | ANSWERS | {"eagerness"}
    response: ClassVar[Collection[str] | None] = {
        "modalities",
        "output_modalities",
        "instructions",
        "tools",
        "tool_choice",
    }
    said: ClassVar[Collection[str]] = {"text"}
    roles: ClassVar[Collection[str]] = {"user", "assistant", "tool"}
    names_tools = False

    def refuses_path(self, path: str) -> str:
        asked = parse_qs(urlsplit(path).query)
        return (
            ""
            if asked.get("protocol") == ["realtime"] and asked.get("key")
            else "key and protocol are missing"
        )

    def refuses_session(self, given: Mapping[str, Any]) -> str:
        data = given.get("providerData") or {}
        if given.get("tools") and data.get("auto_tool_response") is not False:
            return "this server answers the results of tools only when it is asked: set auto_tool_response to false"
        return super().refuses_session(given)

    def refuses_format(self, asked: Mapping[str, Any]) -> str:
        rates = (8000, 16000, 24000, 32000, 44100, 48000)
        return "" if not asked or asked.get("rate", RATE) in rates else f"Invalid rate: {asked}"


class VoiceLiveDialect(ServerDialect):
    """Azure Voice Live's: the settings and names of OpenAI's preview, and Azure's own turn detection and voices."""

    session: ClassVar[Collection[str] | None] = {
        "instructions", "modalities", "voice", "input_audio_format", "output_audio_format",
        "input_audio_sampling_rate", "turn_detection", "input_audio_transcription", "input_audio_noise_reduction",
        "input_audio_echo_cancellation", "temperature", "max_response_output_tokens", "tools", "tool_choice",
    }  # fmt: skip
    detection: ClassVar[Collection[str] | None] = VAD | ANSWERS | {
        "speech_duration_ms", "auto_truncate", "remove_filler_words", "eagerness", "end_of_utterance_detection",
        "languages",
    }  # fmt: skip
    response: ClassVar[Collection[str] | None] = {
        "modalities", "instructions", "voice", "tools", "tool_choice", "temperature", "max_response_output_tokens",
        "conversation", "metadata", "output_audio_format", "pre_generated_assistant_message",
    }  # fmt: skip
    kinds: ClassVar[Mapping[str, str]] = {
        "response.output_audio.delta": "response.audio.delta",
        "response.output_audio.done": "response.audio.done",
        "response.output_audio_transcript.delta": "response.audio_transcript.delta",
        "response.output_audio_transcript.done": "response.audio_transcript.done",
        "response.output_text.delta": "response.text.delta",
        "response.output_text.done": "response.text.done",
        "conversation.item.added": "conversation.item.created",
    }  # fmt: skip
    said: ClassVar[Collection[str]] = {"text"}
    has_done = False

    def refuses_path(self, path: str) -> str:
        parts = urlsplit(path)
        asked = parse_qs(parts.query)
        known = (
            parts.path.endswith("/voice-live/realtime") and asked.get("api-version") and asked.get("model")
        )
        return "" if known else "api-version and model are missing"

    def turn_detection(self, body: Mapping[str, Any], *, given: bool = False) -> dict[str, Any] | None:
        return _detection(body, given)

    def transcription(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        return body.get("input_audio_transcription")

    def voice(self, body: Mapping[str, Any]) -> Any:
        return body.get("voice")

    def rates(self, body: Mapping[str, Any]) -> tuple[int, int]:
        said = {"pcm16_8000hz": 8000, "pcm16_16000hz": 16000}
        return (
            int(body.get("input_audio_sampling_rate") or RATE),
            said.get(str(body.get("output_audio_format")), RATE),
        )

    def modalities(self, body: Mapping[str, Any]) -> Collection[str]:
        return body.get("modalities") or ()

    def exact_text(self, asked: Mapping[str, Any]) -> str | None:
        message = asked.get("pre_generated_assistant_message")
        return None if message is None else " ".join(part["text"] for part in message["content"])


def _audio(body: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    return (body.get("audio") or {}).get(side) or {}


def _rate(body: Mapping[str, Any], side: str) -> int:
    return int((_audio(body, side).get("format") or {}).get("rate") or RATE)


def _detection(place: Mapping[str, Any], given: bool) -> dict[str, Any] | None:
    """Return the turn detection that stands here: the server's own where nothing is `given`."""
    found = place.get("turn_detection", None if given else {"type": "server_vad"})
    return found if isinstance(found, dict) and found.get("type") is not None else None
