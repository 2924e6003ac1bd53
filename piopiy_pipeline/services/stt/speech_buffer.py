"""The audio of the utterance under way, and when its words so far are worth asking for. No I/O, no clock.

Time is counted in audio. What is asked for is bounded: a model hears 30 s at a time, so a longer utterance is
cut at a quiet place; and the words so far are asked for the less often the longer the utterance is, because
each time all of it is heard again.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["SpeechBuffer"]

PREROLL_S = 0.6
"""Seconds of audio before the VAD's start that belong to the utterance: a VAD is sure only after 0.1 to 0.3 s."""
PARTIAL_S = 0.5
"""Seconds of new speech between two partial results, at least."""
PARTIAL_SHARE = 0.25
"""New speech between two partial results, as a share of what is heard again. So they cost at most four times
what hearing costs once."""
SPARE_S = 0.4
"""As much more is kept: where an utterance began is known exactly at its first pause."""
TAIL_S = 0.04
"""As much after a pause belongs to what was said: the end must be in it wherever the VAD's windows began."""
LATE_S = 0.5
"""By so much the place of a pause may differ from that of the frame that reports it."""
CUT_AT_S = 26.0
"""An utterance of this length is cut. The model was trained on up to 30 s."""
CUT_FROM_S = 14.0
"""The earliest place for the cut."""
_QUIET_S = 0.2  # the cut is in the middle of the quietest stretch of this length


class SpeechBuffer:
    """Keeps what the caller says, and a little from before.

    Args:
        rate: The sample rate of the audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pcm = bytearray()
        self._start = 0  # of the utterance, in `_pcm`
        self._pause: int | None = None  # the same, of the last pause
        self._cut_s = 0.0
        self._asked_s = 0.0
        self._heard = 0  # samples since the first one
        self._ended = -math.inf  # the same, when the last utterance ended
        self.hearing = False
        """Whether an utterance is under way."""
        self.silence_s = math.inf
        """The time between the last utterance and the one under way."""

    @property
    def seconds(self) -> float:
        """The length of the utterance so far, with what was cut off."""
        return self._cut_s + self._uncut_s

    @property
    def audio(self) -> bytes:
        """PCM16 mono of the utterance so far, without what was cut off."""
        return bytes(self._pcm[self._start :])

    @property
    def _uncut_s(self) -> float:
        return (len(self._pcm) - self._start) / (2 * self._rate)

    def add(self, pcm: bytes) -> None:
        """Take audio, PCM16 mono. Between two utterances only the last second is kept."""
        self._pcm += pcm
        self._heard += len(pcm) // 2
        if not self.hearing:
            del self._pcm[: -self._bytes(PREROLL_S + SPARE_S)]

    def begin(self) -> None:
        """Begin an utterance with the audio before it."""
        self.hearing = True
        self._start = max(0, len(self._pcm) - self._bytes(PREROLL_S))
        self._pause = None
        self.silence_s = (self._heard - self._ended) / self._rate
        self._cut_s = self._asked_s = 0.0

    def paused(self, began_ago_s: float | None, ago_s: float) -> None:
        """Note that the speaker is quiet.

        What is heard must not depend on when a busy machine finds that out. So these are places in the audio.

        Args:
            began_ago_s: How long ago the VAD was sure of speech, in seconds of audio. None: nobody knows.
            ago_s: How long ago the speaker paused. Below 0: the audio up to there is still to come.
        """
        if abs(ago_s) > LATE_S:
            ago_s, began_ago_s = 0.0, None
        if began_ago_s is not None and not self._cut_s:
            start = len(self._pcm) - self._bytes(began_ago_s + PREROLL_S)
            if abs(start - self._start) <= self._bytes(LATE_S):
                self._start = max(0, start)
        self._pause = max(self._start, len(self._pcm) - self._bytes(ago_s) + self._bytes(TAIL_S))

    @property
    def until_pause(self) -> bytes | None:
        """What was said up to a little after the last pause, without what was cut off. None: not all of it has come,
        or there was no pause.
        """
        if self._pause is None or self._pause > len(self._pcm):
            return None
        return bytes(self._pcm[self._start : self._pause])

    @property
    def since_pause_s(self) -> float:
        """Seconds of audio since the speaker paused last; infinite if that was not in this utterance."""
        return math.inf if self._pause is None else (len(self._pcm) - self._pause) / (2 * self._rate)

    def end(self, *, at_pause: bool = False) -> bytes:
        """End the utterance, and return its audio without what was cut off.

        Args:
            at_pause: Whether it ends at the last pause. What came after it may belong to the next utterance.
        """
        end = min(len(self._pcm), self._pause) if at_pause and self._pause is not None else len(self._pcm)
        pcm = bytes(self._pcm[self._start : end])
        self._ended = self._heard
        del self._pcm[:end]  # what was heard must not be the next utterance's pre-roll
        self._start, self._pause = 0, None
        self.hearing = False
        return pcm

    def _bytes(self, seconds: float) -> int:
        return 2 * round(seconds * self._rate)

    def partial_due(self) -> bool:
        """Say whether enough was said since the words so far were asked for, and note that they are, if so."""
        wait_s = max(PARTIAL_S, PARTIAL_SHARE * self._uncut_s)
        if not self.hearing or self.seconds - self._asked_s < wait_s + (0 if self._asked_s else PREROLL_S):
            return False
        self.asked()
        return True

    def asked(self) -> None:
        """Note that the words so far are being asked for."""
        self._asked_s = self.seconds

    def cut(self) -> bytes | None:
        """Return the beginning of an utterance that is too long to be heard at once, and keep the rest."""
        if self._uncut_s < CUT_AT_S:
            return None
        at = 2 * self._quietest()
        head = bytes(self._pcm[self._start : at])
        del self._pcm[:at]
        self._cut_s += len(head) / (2 * self._rate)
        self._start, self._pause = 0, None
        return head

    def _quietest(self) -> int:
        """Return the sample in the middle of the quietest 0.2 s."""
        step = self._rate // 50
        first = int(CUT_FROM_S * self._rate)
        samples = np.frombuffer(self._pcm, "<i2")[first:].astype(np.float32)
        frames = samples[: len(samples) // step * step].reshape(-1, step)
        width = round(_QUIET_S * 50)
        power = np.convolve((frames**2).mean(axis=1), np.ones(width), "valid")
        return first + (int(power.argmin()) + width // 2) * step
