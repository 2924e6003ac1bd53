"""The parts of an answer's latency, and the clock that measures them. Without I/O.

The agent reports them to whoever watches a live call, and the test harness shows them, too: each part has one
meaning everywhere. The module is at the bottom because both use it.

The time of an answer is cut at marks that follow each other, so that the parts always sum to the whole. If a
mark is missing (a pipeline without that stage, a transcript that came before the speech was over), its part has
zero length, and the next part gets its time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple, Self

__all__ = ["PARTS", "AnswerClock", "LatencyParts"]


@dataclass(frozen=True, slots=True)
class LatencyParts:
    """The parts of the time between the caller's last word and the bot's first word, in seconds."""

    silence: float
    """From the end of the caller's speech to the VAD's decision that it has ended."""
    stt: float
    """From then to the transcript, as far as it was waited for."""
    turn: float
    """From then to the end of the turn: the turn strategy has decided, and the model is asked."""
    llm: float
    """From then until the first token that is spoken came from the model, tools included."""
    tts: float
    """From then until the first audio reached the output: the rest of the first sentence, and its synthesis."""
    playout: float
    """From then until its first sample left the playout."""

    @classmethod
    def between(
        cls,
        spoke_until: float,
        answered_at: float,
        *,
        vad_stop: float | None = None,
        transcript: float | None = None,
        turn_end: float | None = None,
        token: float | None = None,
        audio: float | None = None,
    ) -> Self:
        """Cut the time between two moments at the marks that are known.

        Args:
            spoke_until: When the caller stopped speaking. All times are seconds of one clock.
            answered_at: When the first sample of the answer was played.
            vad_stop: When the VAD decided that the caller had stopped.
            transcript: When the last final transcript came.
            turn_end: When the model was asked.
            token: When the model's first spoken token came.
            audio: When the first audio reached the output.
        """
        marks = [spoke_until]
        for mark in (vad_stop, transcript, turn_end, token, audio, answered_at):
            marks.append(marks[-1] if mark is None else max(marks[-1], min(mark, answered_at)))
        return cls(*(late - early for early, late in pairwise(marks)))

    @property
    def voice_to_voice(self) -> float:
        """The sum: how long the caller waited, in seconds."""
        return sum((getattr(self, name) for name in PARTS), 0.0)

    def event_data(self) -> dict[str, float]:
        """Return the data of a `latency` event: ``{part}_s`` and ``total_s`` to the millisecond, and still a sum."""
        parts = {f"{name}_s": round(getattr(self, name), 3) for name in PARTS}
        return {**parts, "total_s": round(sum(parts.values()), 3)}

    def told(self) -> dict[str, float]:  # until the next release
        """Deprecated: this is `event_data` under its old name."""
        warnings.warn("LatencyParts.told is now LatencyParts.event_data", DeprecationWarning, stacklevel=2)
        return self.event_data()


PARTS = tuple(part.name for part in fields(LatencyParts))


class AnswerClock:
    """Takes the marks of one live call, and gives the parts of each answer when its first sample is played.

    All times are seconds of one clock. Only an answer to a turn of the caller has a latency: what the bot says
    by itself has none, and neither has what it says after speech that the caller still hears.
    """

    def __init__(self) -> None:
        self._heard = _TurnMarks()
        self._question: tuple[_TurnMarks, float] | None = None
        self._token: float | None = None
        self._audio: float | None = None

    def speech_started(self) -> None:
        """Note that the VAD hears the caller: the turn goes on, or another one begins."""
        self._heard = _TurnMarks()

    def speech_stopped(self, now: float, silence_s: float) -> None:
        """Note that the VAD has decided that the caller stopped, `silence_s` seconds ago."""
        self._heard = _TurnMarks(now - silence_s, now, self._heard.transcript)

    def transcript(self, now: float) -> None:
        """Note a final transcript. If there are several, the last one counts."""
        self._heard = self._heard._replace(transcript=now)

    def asked(self, now: float, *, by_sound: bool = False) -> bool:
        """Note that the model is asked, which ends a turn if the caller has said something.

        Args:
            now: The time.
            by_sound: Whether the model hears the caller itself, so that no transcript is waited for.

        Returns:
            Whether this has ended a turn.
        """
        ends = (self._heard.vad_stop if by_sound else self._heard.transcript) is not None
        if ends:
            self._question = (self._heard, now)
            self._heard = _TurnMarks()
            self._token = self._audio = None
        return ends

    def token(self, now: float) -> bool:
        """Note text of the model that is to be spoken. Returns whether it is the first of this answer."""
        first = self._question is not None and self._token is None
        if first:
            self._token = now
        return first

    def audio(self, now: float, *, behind_other_speech: bool) -> None:
        """Note audio of the bot that has reached the output."""
        if self._question is None or self._audio is not None:
            return
        if behind_other_speech:
            self.cut()
        else:
            self._audio = now

    def cut(self) -> None:
        """Forget the answer, because an interruption came: the caller will not hear the rest of it."""
        self._question = self._token = self._audio = None

    def played(self, now: float) -> LatencyParts | None:
        """Note that the playout plays. Returns the parts of the answer's latency, if this is its first
        sample.
        """
        if self._question is None or self._audio is None:
            return None
        heard, asked = self._question
        known = (heard.spoke_until, heard.transcript, asked)
        parts = LatencyParts.between(
            next(mark for mark in known if mark is not None),
            now,
            vad_stop=heard.vad_stop,
            transcript=heard.transcript,
            turn_end=asked,
            token=self._token,
            audio=self._audio,
        )
        self.cut()
        return parts


class _TurnMarks(NamedTuple):
    """The marks of a turn of the caller that are known."""

    spoke_until: float | None = None
    vad_stop: float | None = None
    transcript: float | None = None
