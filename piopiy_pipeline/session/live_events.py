"""What is told of a conversation while it goes on: partial words of both sides, tools, latencies.

The agent does not know whether somebody watches, so this has to cost next to nothing: it hangs on two
stages by plain function calls, looks a frame's type up in a table, and tells a few times a second at
most. It observes nothing, and no frame waits for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text

from piopiy_pipeline.latency import AnswerClock

__all__ = ["LiveEvents", "Partial", "bounded"]

PARTIAL_EVERY_S = 0.25
MAX_RESULT_BYTES = 2000
MAX_PARTIAL_CHARACTERS = 2000
"""Of what is longer, the end is told."""

_WRITES = (LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)


class Partial:
    """A text that grows, told at most every `every_s`, and never twice the same. Without I/O."""

    def __init__(self, every_s: float = PARTIAL_EVERY_S) -> None:
        self._every_s = every_s
        self._text = ""
        self._told = ""
        self._next_at = float("-inf")

    def now_is(self, text: str) -> None:
        """The text so far."""
        self._text = text[-MAX_PARTIAL_CHARACTERS:]

    def clear(self) -> None:
        """The turn is told in full: nothing of it is told in part any more."""
        self._text = self._told = ""

    def due(self) -> float | None:
        """When `take` has something to tell: a moment that may have passed; None for nothing."""
        return self._next_at if self._text and self._text != self._told else None

    def take(self, now: float) -> str | None:
        """What is to be told now."""
        due = self.due()
        if due is None or now < due:
            return None
        self._next_at = now + self._every_s
        self._told = self._text
        return self._text


class _Side:
    """One side's partial words, and the timer for those that came too soon after the last."""

    def __init__(self, event: str, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self._event = event
        self._tell = tell
        self._partial = Partial()
        self._timer: asyncio.TimerHandle | None = None
        self._parts: list[TextPartForConcatenation] = []

    def add(self, text: str, *, spaced: bool) -> None:
        """This much is certain."""
        self._parts.append(TextPartForConcatenation(text, spaced))
        self.now_is("")

    def now_is(self, rest: str) -> None:
        """What is certain so far, and `rest`, which is not yet."""
        parts = [*self._parts, TextPartForConcatenation(rest, False)]
        self._partial.now_is(concatenate_aggregated_text(parts).strip())
        if self._timer is None:
            self._look()

    def over(self) -> None:
        """The turn was told."""
        self._parts.clear()
        self._partial.clear()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        text = self._partial.take(now)
        if text is not None:
            self._tell(self._event, {"text": text})
        elif (due := self._partial.due()) is not None:
            self._timer = loop.call_at(due, self._look)


class LiveEvents:
    """Tells `user_partial`, `bot_partial`, `tool`, `tool_result` and `latency` of one call."""

    def __init__(
        self,
        tell: Callable[[str, dict[str, Any]], None],
        now: Callable[[], float],
        on_mark: Callable[[str], None],
    ) -> None:
        self._tell = tell
        self._on_mark = on_mark
        self._now = now
        self._clock = AnswerClock()
        self._user = _Side("user_partial", tell)
        self._bot = _Side("bot_partial", tell)
        self._tools: dict[str, int] = {}
        self._playing = False
        self.pass_on: Callable[[Frame], None] | None = None
        """Who else wants to see transcripts, what the model is asked, and what it writes."""
        self._reaches: dict[type[Frame], Callable[[Any], None]] = {
            InterimTranscriptionFrame: lambda frame: self._user.now_is(frame.text),
            TranscriptionFrame: self._transcript,
            VADUserStartedSpeakingFrame: lambda _: self._clock.speech_started(),
            VADUserStoppedSpeakingFrame: lambda frame: self._clock.speech_stopped(now(), frame.stop_secs),
        }
        self._leaves: dict[type[Frame], Callable[[Any], None]] = {
            InterruptionFrame: lambda _: self._clock.cut(),
            LLMContextFrame: lambda _: self._clock.asked(now()),
        }

    # ------------------------------------------------------------------ handlers of pipecat's stages

    def reaches_context(self, stage: Any, frame: Frame) -> None:
        """A frame reaches the user's side of the context: behind every stage that changes transcripts."""
        see = self._reaches.get(type(frame))
        if see is not None:
            see(frame)
            if self.pass_on is not None and isinstance(
                frame, (InterimTranscriptionFrame, TranscriptionFrame)
            ):
                self.pass_on(frame)

    def leaves_context(self, stage: Any, frame: Frame) -> None:
        """A frame leaves the user's side of the context."""
        see = self._leaves.get(type(frame))
        if see is not None:
            see(frame)
            if self.pass_on is not None and isinstance(frame, LLMContextFrame):
                self.pass_on(frame)

    def leaves_model(self, stage: Any, frame: Frame) -> None:
        """A frame leaves the LLM."""
        if isinstance(frame, LLMTextFrame) and not frame.skip_tts and self._clock.token(self._now()):
            self._on_mark("llm_token")
        if self.pass_on is not None and isinstance(frame, _WRITES):
            self.pass_on(frame)

    # ------------------------------------------------------------------ told by the monitor

    def audio_arrived(self) -> None:
        """There is audio to be said."""
        self._clock.audio(self._now(), behind_other_speech=self._playing)

    def speech_progressed(self, playing: bool) -> None:
        """The playout clock has reported."""
        self._playing = playing
        if playing and (parts := self._clock.played(self._now())) is not None:
            self._tell("latency", parts.told())

    def heard(self, frame: TTSTextFrame) -> None:
        """These words were heard."""
        if frame.append_to_context:
            self._bot.add(frame.raw_text or frame.text, spaced=frame.includes_inter_frame_spaces)

    def hearing(self, text: str) -> None:
        """So much of a sentence whose words have no times was heard, by an estimate."""
        self._bot.now_is(text)

    def turn_over(self, role: str) -> None:
        """A turn was told in full."""
        (self._user if role == "user" else self._bot).over()

    def tool_started(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        """The model uses a tool."""
        arguments = bounded(arguments)
        if not isinstance(arguments, dict):
            arguments = {"value": arguments}
        self._tell("tool", {"number": self._number(call_id), "name": name, "arguments": arguments})

    def tool_ended(self, call_id: str, name: str, result: Any) -> None:
        """The tool has returned."""
        self._tell("tool_result", {"number": self._number(call_id), "name": name, "result": bounded(result)})

    def close(self) -> None:
        """Nothing is told any more."""
        self._user.close()
        self._bot.close()

    def _number(self, call_id: str) -> int:
        """Providers' ids are long, and not always unique: uses of tools are counted."""
        return self._tools.setdefault(call_id, len(self._tools) + 1)

    def _transcript(self, frame: TranscriptionFrame) -> None:
        if frame.text.strip():
            self._clock.transcript(self._now())
            self._on_mark("transcript")
            self._user.add(frame.text, spaced=frame.includes_inter_frame_spaces)


def bounded(value: Any, limit: int = MAX_RESULT_BYTES) -> Any:
    """The value as JSON has it; of one whose JSON is longer than `limit` bytes the beginning, as text."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if len(text.encode()) <= limit:
        return json.loads(text)
    return text.encode()[: limit - 3].decode("utf-8", "ignore") + "…"
