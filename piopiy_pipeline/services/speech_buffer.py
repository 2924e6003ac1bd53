"""The audio of the utterance under way, and when its words so far are worth asking for. No I/O, no clock.

Time is counted in audio. What is asked for is bounded: a model hears 30 s at a time, so a longer utterance is
cut at a quiet place; and the words so far are asked for the less often the longer the utterance is, because
each time all of it is heard again.
"""

from __future__ import annotations

import numpy as np

__all__ = ["SpeechBuffer"]

PREROLL_S = 0.6
"""Seconds of audio before the VAD's start that belong to the utterance: a VAD is sure only after 0.1 to 0.3 s."""
PARTIAL_S = 0.5
"""Seconds of new speech between two partial results, at least."""
PARTIAL_SHARE = 0.25
"""New speech between two partial results, as a share of what is heard again. So they cost at most four times
what hearing costs once."""
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
        self._cut_s = 0.0
        self._asked_s = 0.0
        self.hearing = False
        """Whether an utterance is under way."""

    @property
    def seconds(self) -> float:
        """The length of the utterance so far, with what was cut off."""
        return self._cut_s + self._uncut_s

    @property
    def audio(self) -> bytes:
        """PCM16 mono of the utterance so far, without what was cut off."""
        return bytes(self._pcm)

    @property
    def _uncut_s(self) -> float:
        return len(self._pcm) / (2 * self._rate)

    def add(self, pcm: bytes) -> None:
        """Take audio, PCM16 mono. Between two utterances only the last 0.6 s are kept."""
        self._pcm += pcm
        if not self.hearing:
            del self._pcm[: -int(PREROLL_S * self._rate) * 2]

    def begin(self) -> None:
        """Begin an utterance with the audio before it."""
        self.hearing = True
        self._cut_s = self._asked_s = 0.0

    def end(self) -> bytes:
        """End the utterance, and return its audio without what was cut off."""
        pcm = self.audio
        self._pcm.clear()  # what was heard must not be the next utterance's pre-roll
        self.hearing = False
        return pcm

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
        head = bytes(self._pcm[:at])
        del self._pcm[:at]
        self._cut_s += at / (2 * self._rate)
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
