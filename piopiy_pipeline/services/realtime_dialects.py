"""`RealtimeDialect`: how a provider's realtime protocol differs from OpenAI's, which it follows otherwise.

Grok, Inworld and Azure Voice Live take the events of OpenAI's protocol. Where a setting stands in the session, which
settings there are, and how an answer is asked for that is word for word, is their own. What stands here is published
by the provider, or by pipecat's service for it. What is not published is taken not to be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipecat.processors.frame_processor import FrameProcessor

__all__ = ["OPENAI", "RealtimeDialect", "dialect_of", "put_setting", "setting"]

Path = Sequence[str]
"""The keys that lead to a setting of the session."""


@dataclass(frozen=True, slots=True)
class RealtimeDialect:
    """What is a provider's own. The defaults are OpenAI's.

    Attributes:
        detection: Where the provider's turn detection stands in the session.
        transcription: Where the setting stands that has the caller's words written down.
        voice: Where the name of the voice stands.
        transcriber: The model that writes the caller's words down if none is set; None: it does so unasked.
        leaves_answers: Whether a session can detect turns and leave it to this side to cut answers off and ask for
            them (`create_response`, `interrupt_response`).
        in_text: The setting that has the model answer in text alone; None: there is none that works.
        note_role: Who says what code puts into the conversation and the caller has not said.
        text_kind: The kind of content of what the bot has said.
        word_for_word: How an answer is asked for that is exactly a text: by instructions to the model, or with no model
            in between by an item (``force_message``) or by a field (``pre_generated``).
        aside: Where the question of an answer beside the conversation stands; None: there are none.
        replays_onset: Whether pipecat's service sends the beginning of the caller's speech once more, behind the
            clearing of the buffer with which a turn of ours begins.
    """

    detection: Path = ("audio", "input", "turn_detection")
    transcription: Path = ("audio", "input", "transcription")
    voice: Path = ("audio", "output", "voice")
    transcriber: str | None = "gpt-4o-mini-transcribe"
    leaves_answers: bool = True
    in_text: str | None = "output_modalities"
    note_role: Literal["system", "user"] = "system"
    text_kind: Literal["output_text", "text"] = "output_text"
    word_for_word: Literal["instructions", "force_message", "pre_generated"] = "instructions"
    aside: Literal["input", "instructions"] | None = "input"
    replays_onset: bool = True

    def put_voice(self, session: dict[str, Any], voice: str) -> None:
        """Have a session speak with a voice of the provider's."""
        put_setting(session, self.voice, voice)
        if self.voice == ("voice", "name"):
            session["voice"].setdefault("type", "azure-standard")

    def decide_turns(self, session: dict[str, Any], *, own: bool, asks: bool, transcribes: bool) -> None:
        """Change the settings of a session on their way.

        Args:
            session: The settings.
            own: This side decides on turns: the provider's detection is off. pipecat's services of Grok and Inworld
                leave the setting out instead, and so the provider's default stands, which is on.
            asks: The provider detects turns, and leaves answers to this side.
            transcribes: The provider writes down what the caller says.
        """
        if self.transcriber is not None:
            model = setting(session, self.transcription) or {"model": self.transcriber}
            put_setting(session, self.transcription, model if transcribes else None)
        if own:
            put_setting(session, self.detection, None)
        elif asks:
            detection = setting(session, self.detection) or {"type": "server_vad"}
            put_setting(
                session, self.detection, detection | {"create_response": False, "interrupt_response": False}
            )


OPENAI = RealtimeDialect()
_DIALECTS: Mapping[str, RealtimeDialect] = {
    "OpenAIRealtimeLLMService": OPENAI,  # and Azure's, which derives from it
    "GrokRealtimeLLMService": RealtimeDialect(
        detection=("turn_detection",),
        voice=("voice",),
        transcriber=None,
        leaves_answers=False,
        in_text=None,
        note_role="user",
        word_for_word="force_message",
        aside=None,
        replays_onset=False,
    ),
    "InworldRealtimeLLMService": RealtimeDialect(
        transcriber="inworld/inworld-stt-1",
        in_text=None,  # there is one, and pipecat's service hears nothing of what is written
        note_role="user",
        text_kind="text",
        aside=None,
        replays_onset=False,
    ),
    "AzureVoiceLiveLLMService": RealtimeDialect(
        detection=("turn_detection",),
        transcription=("input_audio_transcription",),
        voice=("voice", "name"),
        transcriber="azure-speech",
        in_text="modalities",
        text_kind="text",
        word_for_word="pre_generated",
        aside="instructions",
    ),
}
"""By the names of pipecat's classes, which are not imported for it: that takes a provider's package."""


def dialect_of(service: FrameProcessor | type) -> RealtimeDialect | None:
    """Return the dialect of a service of OpenAI's mould, by its class; None for any other service."""
    kind = service if isinstance(service, type) else type(service)
    return next((_DIALECTS[each.__name__] for each in kind.__mro__ if each.__name__ in _DIALECTS), None)


def setting(session: Mapping[str, Any], path: Path) -> Any:
    """Return a setting of a session; None: it is not set."""
    found: Any = session
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def put_setting(session: dict[str, Any], path: Path, value: Any) -> None:
    """Set a setting of a session."""
    *way, last = path
    place = session
    for key in way:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    place[last] = value
