"""The model behind a realtime server: its script, its voice and its ears, whatever the protocol.

All sessions of a server share it, because a bot that opens its session again goes on with the same conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext

from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.scripted.faults import Fault, FaultPlan
from piopiy_pipeline.testing.scripted.latency_profiles import as_profile
from piopiy_pipeline.testing.scripted.reply_script import Reply, ReplyScript, ScriptedResponse
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import SoundedText, Voice

__all__ = [
    "AnswerPiece",
    "Endless",
    "HeldSpeech",
    "ModelSpeech",
    "ScriptedModel",
    "packed_messages",
    "verbatim",
]

RATE = 24000
"""The sample rate of the speech in Hz, as OpenAI and Google have it."""
CHUNK_S = 0.2
PREROLL_S = 0.6
"""Words from before the VAD's start that belong to the utterance, as `ScriptedSTT` has it."""


@dataclass(frozen=True, slots=True)
class Endless(Fault):
    """The model never stops speaking, or writing: its answer begins anew when it is over. It speaks as fast as
    `Voice(speed=...)` says, and writes so many times faster than it is said; None: as fast as the client reads it.
    """

    text_speed: float | None = None
    stubborn: bool = False
    """Whether it goes on when the client cancels it (OpenAI's protocol)."""


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A stretch of the model's speech.

    Attributes:
        pcm: PCM16 little-endian mono at the rate of the speech; may be empty.
        words: The words that are told with it.
    """

    pcm: bytes
    words: str


class HeldSpeech:
    """What a model has said in one answer, with the place of each word: what a truncation cuts."""

    def __init__(self) -> None:
        self.sent_s = 0.0
        """Audio that was sent to the client, in seconds."""
        self.words: list[tuple[str, float]] = []
        """Each word with the second in which it begins."""
        self.cut_s: float | None = None

    @property
    def text(self) -> str:
        """The words, as far as the answer was not truncated."""
        return " ".join(word for word, at in self.words if self.cut_s is None or at < self.cut_s)


@dataclass(slots=True)
class ModelSpeech:
    """How one answer sounds, piece by piece. Its `held` grows with what is taken.

    Attributes:
        sentence: The words with their audio.
        share: How much of it there is, 0 to 1.
        again: Whether it begins anew at its end.
        words_ahead_s: How much earlier than its audio a word is told.
        text_speed: How much faster than it is said it is written; None: at once.
        rate: The sample rate of the audio in Hz.
    """

    sentence: SoundedText
    share: float = 1.0
    again: bool = False
    words_ahead_s: float = 0.0
    text_speed: float | None = None
    rate: int = RATE
    held: HeldSpeech = field(default_factory=HeldSpeech)

    def pieces(self) -> Iterator[AnswerPiece]:
        base = 0.0
        while True:
            yield from self._once(base)
            base += len(self.sentence.pcm) / self.rate
            if not self.again:
                return

    def _once(self, base: float) -> Iterator[AnswerPiece]:
        pcm, words = self.sentence.pcm, list(self.sentence.words)
        size, step = round(len(pcm) * self.share), int(CHUNK_S * self.rate)
        for at in range(0, size, step):
            end = min(at + step, size)
            begun = [one for one in words if one[1] * self.rate < end + self.words_ahead_s * self.rate]
            words = words[len(begun) :]
            self.held.words += [(word, base + second) for word, second in begun]
            self.held.sent_s = base + end / self.rate
            yield AnswerPiece(pcm[at:end].astype("<i2").tobytes(), "".join(f"{word} " for word, _ in begun))


class ScriptedModel:
    """What the model says, how it sounds and what it hears.

    Args:
        replies: What it says and does, turn by turn.
        voice: How it sounds.
        ears: How the caller is transcribed; `texts` of it need no `spoken`.
        spoken: Tells the words of the caller by their time on the loop's clock.
        seed: Decides on latencies.
        words_ahead_s: How much earlier than its audio a word is told, in seconds.
    """

    def __init__(
        self,
        replies: Replies | Sequence[Reply],
        *,
        voice: Voice | None = None,
        ears: Transcripts | None = None,
        spoken: Spoken | None = None,
        seed: int = 0,
        words_ahead_s: float = 0.0,
    ) -> None:
        self.replies = replies if isinstance(replies, Replies) else Replies(*replies)
        self.voice = voice or Voice()
        self.ears = ears or Transcripts()
        self.plan = FaultPlan(self.replies.faults)
        self.hearing = FaultPlan(self.ears.faults)
        self.words_ahead_s = words_ahead_s
        self._spoken = spoken
        self._texts = None if self.ears.texts is None else iter(self.ears.texts)
        self._script = ReplyScript(self.replies.turns, self.replies.otherwise)
        self._latency = as_profile(self.replies.latency).sampler(Random(f"{seed}:realtime"))
        self._hears_after = as_profile(self.ears.latency).sampler(Random(f"{seed}:realtime ears"))
        self._taken = 0.0
        self.kept: dict[str, Any] = {}
        """Conversations that the server keeps for clients that come back, by their handles."""
        self._sessions = self._numbers = 0

    def new_session(self) -> int:
        """Note that a client has opened a session. Returns its number, from 1."""
        self._sessions += 1
        if self._sessions > 1:
            self._script.resume()
        return self._sessions

    def new_number(self) -> int:
        """Return a number for a name, from 1 on, that no session of the server has used."""
        self._numbers += 1
        return self._numbers

    def understand(self, since: float, until: float) -> str:
        """Return what the caller has said in the audio that arrived between two times."""
        begun, self._taken = max(self._taken, since - PREROLL_S), until
        if self._texts is not None:
            return next(self._texts, "")
        return self._spoken(begun, until) if self._spoken is not None else ""

    def hearing_delay(self) -> float:
        """Return how long after the end of speech its transcript comes, in seconds."""
        self.hearing.turn += 1
        return self._hears_after(self.hearing.turn)

    def respond(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[ScriptedResponse, Fault | None]:
        """Answer a conversation with the tools of a session. Raises `ScriptOver` where the script has no answer."""
        schemas = [_schema_of(tool) for tool in tools if tool.get("type") == "function"]
        known = ToolsSchema(standard_tools=schemas) if schemas else NOT_GIVEN
        response = self._script.respond(LLMContext(list(messages), tools=known))  # type: ignore[arg-type]
        self.plan.turn = response.turn
        return response, response.fault or self.plan.next()

    def completed(self, response: ScriptedResponse) -> None:
        """Note that the answer was given in full."""
        self._script.completed(response)

    def latency(self, response: ScriptedResponse) -> float:
        """Return the seconds to the answer's first audio."""
        return self._latency(response.turn)

    def speak(self, text: str, fault: Fault | None = None, rate: int = RATE) -> ModelSpeech:
        """Return how a text sounds, at a sample rate in Hz."""
        sentence = self.voice.speak(text, rate)
        share = fault.share if fault is not None else 1.0
        endless = fault if isinstance(fault, Endless) else None
        text_speed = endless.text_speed if endless is not None else None
        return ModelSpeech(sentence, share, endless is not None, self.words_ahead_s, text_speed, rate)


def _schema_of(tool: dict[str, Any]) -> FunctionSchema:
    taken = tool.get("parameters") or {}
    return FunctionSchema(
        name=str(tool["name"]),
        description=str(tool.get("description") or ""),
        properties=taken.get("properties") or {},
        required=taken.get("required") or [],
    )


def verbatim(instructions: str | None) -> str | None:
    """Return what a model is told to say word for word: the text in double quotes, or else what follows a colon.

    None: the instructions are no such thing.
    """
    must_repeat = re.search(r"\b(?:exactly|word for word|verbatim)\b", instructions or "", re.IGNORECASE)
    if instructions is None or must_repeat is None:
        return None
    found = re.search(r'["“](.+)["”]', instructions, re.DOTALL) or re.search(
        r":\s*(.+)", instructions, re.DOTALL
    )
    return found[1].strip() if found else None


def packed_messages(text: str) -> list[dict[str, Any]] | None:
    """Return the conversation that a text holds as JSON, which a model would read there; None if there is none."""
    begin, end = text.find("["), text.rfind("]")
    if begin < 0 or end < begin:
        return None
    try:
        found = json.loads(text[begin : end + 1])
    except ValueError:
        return None
    if isinstance(found, list) and found and all(isinstance(one, dict) and "role" in one for one in found):
        return found
    return None
