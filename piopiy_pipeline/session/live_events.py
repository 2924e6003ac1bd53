"""The events of a conversation while it goes on: partial words of both sides, tools, latencies.

The agent does not know whether somebody watches, so this must cost almost nothing. It is called by event
handlers of two stages, looks up a frame's type in a table, and reports a few times a second at most. It is
no observer of the pipeline, and no frame waits for it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
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
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text

from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.json_values import nests_too_deep
from piopiy_pipeline.latency import AnswerClock
from piopiy_pipeline.text import well_formed
from piopiy_pipeline.turns.turn_end_policy import TurnEnd

__all__ = ["MODEL_WRITES", "LiveEvents", "Partial", "bounded"]

PARTIAL_EVERY_S = 0.25
MAX_RESULT_BYTES = 2000
MAX_PARTIAL_CHARACTERS = 2000
"""The most characters that are reported of a partial text. Of a longer one the end is reported."""

MODEL_WRITES = (LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)


class Partial:
    """A text that grows, to be reported every `every_s` seconds at most, and never twice the same. Without I/O."""

    def __init__(self, every_s: float = PARTIAL_EVERY_S) -> None:
        self._every_s = every_s
        self._text = ""
        self._reported = ""
        self._next_at = float("-inf")

    def update(self, text: str) -> None:
        """Take the text as it is so far."""
        self._text = text[-MAX_PARTIAL_CHARACTERS:]

    def clear(self) -> None:
        """Report no part of the turn any more, because the whole turn was reported."""
        self._text = self._reported = ""

    def due(self) -> float | None:
        """Return when `take` will return the text, in seconds; it may be in the past. None if there is
        nothing new.
        """
        return self._next_at if self._text and self._text != self._reported else None

    def take(self, now: float) -> str | None:
        """Return the text, if it is to be reported now. `now` is in seconds of one clock."""
        due = self.due()
        if due is None or now < due:
            return None
        self._next_at = now + self._every_s
        self._reported = self._text
        return self._text


class _PartialTurn:
    """The turn that one side is speaking, and the timer for words that came too soon after the last report."""

    def __init__(self, event: str, report: Callable[[str, dict[str, Any]], None]) -> None:
        self._event = event
        self._report = report
        self._partial = Partial()
        self._timer: asyncio.TimerHandle | None = None
        self._parts: deque[TextPartForConcatenation] = deque()
        self._characters = 0

    def add(self, text: str, *, spaced: bool) -> None:
        """Add words that are certain. No more is kept than is reported: a chain may never say that a turn is over."""
        if text:
            self._parts.append(TextPartForConcatenation(text[-MAX_PARTIAL_CHARACTERS:], spaced))
            self._characters += len(self._parts[-1].text)
        while self._parts and self._characters - len(self._parts[0].text) >= MAX_PARTIAL_CHARACTERS:
            self._characters -= len(self._parts.popleft().text)
        self.update("")

    def update(self, uncertain: str, *, goes_on: bool = False) -> None:
        """Set the turn to the words that are certain so far, followed by `uncertain` ones.

        Args:
            uncertain: The words.
            goes_on: Whether this is called again soon in any case, so that what comes too soon needs no timer.
        """
        parts = [*self._parts, TextPartForConcatenation(uncertain, False)]
        self._partial.update(concatenate_aggregated_text(parts).strip())
        if self._timer is None:
            self._report_if_due(goes_on=goes_on)

    def over(self) -> None:
        """Forget the turn, because the whole turn was reported."""
        self._parts.clear()
        self._characters = 0
        self._partial.clear()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report_if_due(self, *, goes_on: bool = False) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        text = self._partial.take(now)
        if text is not None:
            self._report(self._event, {"text": text})
        elif not goes_on and (due := self._partial.due()) is not None:
            self._timer = loop.call_at(due, self._report_if_due)


class LiveEvents:
    """Reports `user_partial`, `bot_partial`, `tool`, `tool_result` and `latency` of one call.

    Args:
        report: Takes the name of an event and its data.
        now: The time of the call's clock, in seconds.
        on_mark: Called with ``transcript``, ``llm_token`` or ``turn_end`` (of a model that hears itself, and is asked)
            at these moments of an answer.
    """

    def __init__(
        self,
        report: Callable[[str, dict[str, Any]], None],
        now: Callable[[], float],
        on_mark: Callable[[str], None],
    ) -> None:
        self._report = report
        self._on_mark = on_mark
        self._now = now
        self._clock = AnswerClock()
        self._user = _PartialTurn("user_partial", report)
        self._bot = _PartialTurn("bot_partial", report)
        self._tools: dict[str, int] = {}
        self._turn_end: TurnEnd | None = None
        self._playing = False
        self._eager: dict[str, Any] = {}
        self._by_sound = False
        self.pass_on: Callable[[Frame], None] | None = None
        """Called with transcripts, the context that the model gets, and what the model writes."""
        self.shows = False
        """Whether what is written is shown: its bounds are passed on where it is shown, not where it is made."""
        self._into_context: dict[type[Frame], Callable[[Any], None]] = {
            InterimTranscriptionFrame: lambda frame: self._user.update(frame.text),
            TranscriptionFrame: self._transcript,
            VADUserStartedSpeakingFrame: lambda _: self._clock.speech_started(),
            VADUserStoppedSpeakingFrame: lambda frame: self._clock.speech_stopped(now(), frame.stop_secs),
        }
        self._from_context: dict[type[Frame], Callable[[Any], None]] = {
            InterruptionFrame: lambda _: self._clock.cut(),
            LLMContextFrame: lambda _: self._model_asked(),
        }

    # ------------------------------------------------------------------ handlers of pipecat's stages

    def watch_context(self, user: FrameProcessor) -> None:
        """Take note of what reaches and leaves the user's side of the context, behind every stage that changes
        transcripts.
        """
        watch_taken(user, self._on_context_input, *self._into_context)
        watch_pushes(user, self.on_context_output, *self._from_context)

    def _on_context_input(self, stage: Any, frame: Frame) -> None:
        handler = self._into_context.get(type(frame))
        if handler is not None:
            handler(frame)
            if self.pass_on is not None and isinstance(
                frame, (InterimTranscriptionFrame, TranscriptionFrame)
            ):
                self.pass_on(frame)

    def on_context_output(self, stage: Any, frame: Frame) -> None:
        handler = self._from_context.get(type(frame))
        if handler is not None:
            handler(frame)
            if self.pass_on is not None and isinstance(frame, LLMContextFrame):
                self.pass_on(frame)

    def turn_answered(self, *, begun: int, saved_s: float | None = None) -> None:
        """Note that the caller's turn is over.

        Args:
            begun: So many answers to it were begun ahead.
            saved_s: The last of them is said, and so much of its time has passed already. None: it is not.
        """
        self._eager = {"eager": saved_s is not None, "eager_begun": begun} if begun else {}
        if saved_s is not None:
            self._eager["eager_saved_s"] = round(saved_s, 3)

    def answer_dropped(self, reason: str, *, wasted: int) -> None:
        """Report that an answer which was begun ahead is dropped, the `wasted`th of the call."""
        self._report("eager_dropped", {"reason": reason, "wasted": wasted})

    def on_model_output(self, stage: Any, frame: Frame) -> None:
        """Take note of a frame that leaves the LLM."""
        if isinstance(frame, LLMTextFrame) and not frame.skip_tts and self._clock.token(self._now()):
            self._on_mark("llm_token")
        if self.pass_on is not None and isinstance(frame, LLMTextFrame if self.shows else MODEL_WRITES):
            self.pass_on(frame)

    def by_sound(self) -> None:
        """Measure the answers of a model that hears itself: its question is no transcript."""
        self._by_sound = True

    def model_asked(self) -> None:
        """Note that a model that hears itself is asked."""
        if self._by_sound and self._clock.asked(self._now(), by_sound=True):
            self._on_mark("turn_end")

    # ------------------------------------------------------------------ called by the monitor

    def audio_arrived(self) -> None:
        """Audio of the bot has reached the output."""
        self._clock.audio(self._now(), behind_other_speech=self._playing)

    def speech_progressed(self, playing: bool) -> None:
        """Take note of a report of the playout."""
        self._playing = playing
        if playing and (parts := self._clock.played(self._now())) is not None:
            end, self._turn_end = self._turn_end, None
            decided = {} if end is None else {"turn_wait_s": end.wait_s, "turn_reason": end.reason}
            self._report("latency", {**parts.event_data(), **decided, **self._eager})
            self._eager = {}

    def on_heard(self, frame: TTSTextFrame) -> None:
        """Take note of words that the caller has heard."""
        if frame.append_to_context:
            self._bot.add(frame.raw_text or frame.text, spaced=frame.includes_inter_frame_spaces)

    def on_partly_heard(self, text: str) -> None:
        """Take note of the part, by an estimate, that the caller has heard of a sentence whose words have no
        times. The playout reports five times a second as long as it plays.
        """
        self._bot.update(text, goes_on=True)

    def turn_over(self, role: str) -> None:
        """Note that a whole turn of ``user`` or ``bot`` was reported."""
        (self._user if role == "user" else self._bot).over()

    def turn_decided(self, end: TurnEnd | None) -> None:
        """Take note of why the caller's turn was taken for over: it is reported with the answer's latency."""
        self._turn_end = end

    def backchannel(self) -> None:
        """Note that the words of the caller so far were no turn: no answer to them is to be measured."""
        self._user.over()
        self._clock.speech_started()

    def barge_in(self, verdict: str, reason: str, held_s: float) -> None:
        """Report what became of a sound over the bot's speech."""
        self._report("barge_in", {"verdict": verdict, "reason": reason, "held_s": round(held_s, 3)})

    def tool_started(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        """Report that the model uses a tool."""
        arguments = bounded(arguments)
        if not isinstance(arguments, dict):
            arguments = {"value": arguments}
        self._report("tool", {"number": self.tool_number(call_id), "name": name, "arguments": arguments})

    def tool_ended(self, call_id: str, name: str, result: Any) -> None:
        """Report that the tool has returned."""
        self._report(
            "tool_result", {"number": self.tool_number(call_id), "name": name, "result": bounded(result)}
        )

    def close(self) -> None:
        """Report nothing any more, because the call has ended."""
        self._user.close()
        self._bot.close()

    def tool_number(self, call_id: str) -> int:
        """Return the number of this use of a tool: the ids of providers are long, and not always unique."""
        return self._tools.setdefault(call_id, len(self._tools) + 1)

    def _model_asked(self) -> None:
        if self._by_sound:
            return
        self._clock.asked(self._now())
        self._eager = {}

    def _transcript(self, frame: TranscriptionFrame) -> None:
        if frame.text.strip():
            if not self._by_sound:
                self._clock.transcript(self._now())
            self._on_mark("transcript")
            self._user.add(frame.text, spaced=frame.includes_inter_frame_spaces)


def bounded(value: Any, limit: int = MAX_RESULT_BYTES) -> Any:
    """Return the value as JSON. If that is longer than `limit` bytes or nests too deep, the beginning of it as text.

    Any value will do: what is no JSON is described, half of a surrogate pair becomes U+FFFD, and NaN becomes None.
    """
    try:
        text = well_formed(json.dumps(value, default=repr, ensure_ascii=False))
    except Exception:  # noqa: BLE001  a list that holds itself, a key that is no text, an object whose repr() fails
        text = json.dumps(f"<{type(value).__name__}>")
    if len(text.encode()) <= limit and not nests_too_deep(text):
        return json.loads(text, parse_constant=lambda _: None)
    return text.encode()[: limit - 3].decode("utf-8", "ignore") + "…"
