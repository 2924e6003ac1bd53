"""A voice that sends samples in which nothing is heard: it fails, and neither the provider nor the playout notices.

`MuteVoice` decides, without I/O. `watch_voice` is its shell around one TTS service, or a model that speaks itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.services.ai_service import AIService

from piopiy_pipeline.compat.frame_taps import watch_pushes

__all__ = ["LEADING_S", "MuteVoice", "watch_voice"]

AUDIBLE = 16
"""No sample of silence is as far from 0, at 16 bits: 66 dB below full scale."""
ENDING = 16
"""So many samples at the end are looked at first."""
LEADING_S = 1.5
"""A speech may begin with so much silence, in seconds."""
PAUSE_S = 5.0
"""It may have so much silence in its middle, which an author may have asked for."""
LEAST_S = 0.3
"""A whole speech that is shorter and silent may be one without a word."""


class MuteVoice:
    """Follows the speech of one voice."""

    def __init__(self) -> None:
        self._silent_s = 0.0
        self._heard = self._reported = False

    @property
    def heard(self) -> bool:
        """Whether a sound was heard in this speech."""
        return self._heard

    @property
    def silent_s(self) -> float:
        """How long the silence lasts up to now, in seconds."""
        return self._silent_s

    def begins(self) -> None:
        """A speech begins, or what was said so far is void."""
        self._silent_s = 0.0
        self._heard = self._reported = False

    def audio(self, pcm: bytes, rate: int) -> float | None:
        """Take the next samples.

        Args:
            pcm: PCM16, little endian, of all channels.
            rate: Samples a second, of all channels together.

        Returns:
            The seconds of silence, if they show now that the voice is mute.
        """
        samples = np.frombuffer(pcm, "<i2", len(pcm) // 2)
        after = _samples_after_sound(samples)
        if after is not None:
            self._heard = True
            self._silent_s = after / rate
            return None
        self._silent_s += samples.size / rate
        return self._report_once(PAUSE_S if self._heard else LEADING_S)

    def ends(self) -> float | None:
        """The speech is complete. Returns what `audio` returns."""
        mute = None if self._heard else self._report_once(LEAST_S)
        self.begins()
        return mute

    def _report_once(self, least_s: float) -> float | None:
        if self._reported or self._silent_s < least_s:
            return None
        self._reported = True
        return self._silent_s


def _samples_after_sound(samples: NDArray[np.int16]) -> int | None:
    """Return how many samples follow the last one that is heard; None if none is."""
    for after, sample in enumerate(samples[: -ENDING - 1 : -1].tolist()):  # where most sound is heard
        if sample >= AUDIBLE or sample <= -AUDIBLE:
            return after
    loud = np.flatnonzero((samples >= AUDIBLE) | (samples <= -AUDIBLE))
    return samples.size - 1 - int(loud[-1]) if loud.size else None


def watch_voice(
    service: AIService,
    *,
    is_active: Callable[[], bool],
    made: Callable[[float], None],
    is_mute: Callable[[str], Awaitable[None]],
) -> None:
    """Have it noticed that a voice is mute.

    Args:
        service: The voice, or a model that speaks itself.
        is_active: Whether it is the one in use.
        made: Told how much sound the voice has made, in seconds.
        is_mute: Called with what is wrong, once for each speech.
    """
    voice = MuteVoice()

    def pushes(_stage: AIService, frame: Frame) -> Awaitable[None] | None:
        silent_s = None
        match frame:
            case TTSAudioRawFrame():
                made(len(frame.audio) / 2 / frame.num_channels / frame.sample_rate)
                silent_s = voice.audio(frame.audio, frame.sample_rate * frame.num_channels)
            case TTSStoppedFrame():
                silent_s = voice.ends()
            case TTSStartedFrame() | InterruptionFrame() | ErrorFrame():
                voice.begins()
        if silent_s is not None and is_active():
            return is_mute(f"nothing is heard in {silent_s:.1f} s of its sound")
        return None

    watch_pushes(
        service, pushes, TTSAudioRawFrame, TTSStoppedFrame, TTSStartedFrame, InterruptionFrame, ErrorFrame
    )
