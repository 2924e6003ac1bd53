"""Finds where speech begins and ends, from one probability and one level per window: a state machine without
I/O.

The rule is pipecat's own (`pipecat/audio/vad/vad_analyzer.py`): speech starts when `start_secs` of
windows in a row are voiced, and has stopped when `stop_secs` of windows in a row are not. The difference is
when a window does not count although the model takes it for speech. pipecat requires a smoothed loudness
over 400 ms, which costs 100-200 ms at every start of speech and prevented nothing in our measurements.
Here that gate applies only where `min_volume` is given; otherwise the window must only be louder than
digital silence or the hum of a telephone line.

Time is counted in windows of audio, not by a clock, so the result depends on the audio alone.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields

from pipecat.audio.utils import exp_smoothing
from pipecat.audio.volume import AudioVolumeTracker

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.audio.quiet_line import FLOOR_DBFS, FLOOR_POWER
from piopiy_pipeline.processors.caller_level import CallerLevel

__all__ = ["FLOOR_DBFS", "FLOOR_POWER", "LoudnessMeter", "Segmenter", "VadEvent", "VadSettings"]

BEHIND_S = 0.5
"""Speech that was so long nothing but voices behind the caller has stopped: no word is so soft for so long."""

_RANGES = {
    "confidence": (0.0, 1.0),
    "start_secs": (0.0, 5.0),
    "stop_secs": (0.0, 10.0),
    "min_volume": (0.0, 1.0),
}


class VadEvent(enum.Enum):
    """What a window means: speech begins, ends, or goes on."""

    STARTED = "started"
    STOPPED = "stopped"
    ACTIVITY = "activity"
    """Speech goes on; returned at the start and then once a period."""
    PAUSED = "paused"
    """There was no speech for a moment. It may go on; if it does not, `STOPPED` follows."""


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Settings that say when a window counts as speech, and how many windows a change takes.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    confidence: float = 0.7
    """Least probability of a voiced window, 0 to 1."""
    start_secs: float = 0.1
    """Voiced windows in a row before speech has started, seconds."""
    stop_secs: float = 0.2
    """Unvoiced windows in a row before speech has stopped, seconds."""
    min_volume: float | None = None
    """Least smoothed loudness, 0 to 1, as pipecat measures it. None: no such gate."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name == "min_volume":
                continue
            low, high = _RANGES[field.name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(
                    f"vad: {field.name} must be a number from {low:g} to {high:g}, got {shown(value)}"
                )


class LoudnessMeter:
    """pipecat's smoothed volume (BS.1770 over the last 400 ms, then exponential smoothing), window by window.

    A measurement takes a few hundred microseconds, so it belongs off the event loop.

    Args:
        sample_rate: The rate of the audio in Hz.
    """

    SMOOTHING = 0.2

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._tracker = AudioVolumeTracker()
        self._smoothed = 0.0

    def update(self, window: bytes) -> float:
        """Take one window of PCM16 and return the volume after it, 0 to 1."""
        self._tracker.update(window, self._rate)
        self._smoothed = exp_smoothing(self._tracker.volume, self._smoothed, self.SMOOTHING)
        return self._smoothed


class _SegmentState(enum.Enum):
    QUIET = enum.auto()
    STARTING = enum.auto()
    SPEAKING = enum.auto()
    STOPPING = enum.auto()


class Segmenter:
    """The segmentation of one stream, which is given every window in order.

    Args:
        settings: When speech begins and stops.
        window_s: The duration of one window in seconds.
        activity_s: The period of `VadEvent.ACTIVITY` in seconds, 0 for none.
        pause_s: Seconds without speech before `VadEvent.PAUSED`, 0 for none. Where speech stops sooner, it comes
            with the stop.
        level: Tells the caller from voices behind, which neither begin speech nor make it go on for ever. None: all
            voices are the caller's.
    """

    def __init__(
        self,
        settings: VadSettings,
        *,
        window_s: float,
        activity_s: float = 0.2,
        pause_s: float = 0.0,
        level: CallerLevel | None = None,
    ) -> None:
        self._window_s = window_s
        self._pause_windows = max(1, round(pause_s / window_s)) if pause_s > 0 else 0
        self._activity_windows = max(1, round(activity_s / window_s)) if activity_s > 0 else 0
        self._state = _SegmentState.QUIET
        self._count = 0
        self._since_activity = 0
        self._level = level
        self._behind = 0  # windows in a row in which the caller was not heard
        self.silence_s = settings.stop_secs
        """How long the caller had not been heard when speech stopped last, seconds."""
        self.apply(settings)

    @property
    def settings(self) -> VadSettings:
        """The settings that are in force."""
        return self._settings

    @property
    def quiet(self) -> bool:
        """Whether there is neither speech nor the beginning of it."""
        return self._state is _SegmentState.QUIET

    @property
    def crowded(self) -> bool:
        """Whether voices go on behind the caller, as far as their level is followed."""
        return self._level is not None and self._level.crowded

    @property
    def speaking(self) -> bool:
        """Whether speech has started and not stopped."""
        return self._state in (_SegmentState.SPEAKING, _SegmentState.STOPPING)

    def apply(self, settings: VadSettings) -> None:
        """Apply new settings from the next window on.

        Speech under way goes on; the count of windows in a row begins again.
        """
        self._settings = settings
        self._start_windows = round(settings.start_secs / self._window_s)
        self._stop_windows = round(settings.stop_secs / self._window_s)
        self._behind_windows = max(self._stop_windows, round(BEHIND_S / self._window_s))
        self._count = 0
        self._state = _SegmentState.SPEAKING if self.speaking else _SegmentState.QUIET

    def window(self, probability: float, power: float, volume: float | None = None) -> tuple[VadEvent, ...]:
        """Take one window.

        Args:
            probability: That it is speech, 0 to 1.
            power: The mean power of the window, 1.0 at full scale.
            volume: The smoothed loudness, 0 to 1; None where it is not measured.

        Returns:
            What the window changed, in order.
        """
        voiced = self._voiced(probability, power, volume)
        if self._level is not None:
            near = self._level.is_near(voiced, power) and voiced
            if not self.speaking:
                voiced = near
            else:
                self._behind = 0 if near else self._behind + 1
                if self._behind >= self._behind_windows and self._stop_windows:
                    return self._stopped_behind()
        return self._on_voiced() if voiced else self._on_unvoiced()

    def _stopped_behind(self) -> tuple[VadEvent, ...]:
        """End the speech, in which only voices behind the caller were heard for a while."""
        silence_s = self._behind * self._window_s
        events = self.force_stop()
        self.silence_s = silence_s
        return events

    def force_stop(self) -> tuple[VadEvent, ...]:
        """End the speech, because the audio has ceased. Returns `STOPPED` if there was speech."""
        was_speaking, paused = self.speaking, self._paused
        self._state, self._count, self._behind = _SegmentState.QUIET, 0, 0
        self.silence_s = self._settings.stop_secs
        if not was_speaking:
            return ()
        return (
            (VadEvent.PAUSED, VadEvent.STOPPED) if self._pause_windows and not paused else (VadEvent.STOPPED,)
        )

    @property
    def _paused(self) -> bool:
        return self._state is _SegmentState.STOPPING and self._count >= self._pause_windows

    def _voiced(self, probability: float, power: float, volume: float | None) -> bool:
        if probability < self._settings.confidence:
            return False
        gate = self._settings.min_volume
        if gate is None:
            return power >= FLOOR_POWER
        # Right after a gate was asked for there is no volume yet: no window passes it.
        return gate == 0 or (volume is not None and volume >= gate)

    def _on_voiced(self) -> tuple[VadEvent, ...]:
        if self.speaking:
            self._state = _SegmentState.SPEAKING
            return self._activity()
        if self._state is _SegmentState.QUIET:
            self._state, self._count = _SegmentState.STARTING, 0
        self._count += 1
        if self._count < self._start_windows:
            return ()
        self._state, self._since_activity = _SegmentState.SPEAKING, 0
        return (VadEvent.STARTED, VadEvent.ACTIVITY) if self._activity_windows else (VadEvent.STARTED,)

    def _on_unvoiced(self) -> tuple[VadEvent, ...]:
        if not self.speaking:
            self._state = _SegmentState.QUIET
            return ()
        if self._state is _SegmentState.SPEAKING:
            self._state, self._count = _SegmentState.STOPPING, 0
        was_paused = self._paused
        self._count += 1
        pause = (VadEvent.PAUSED,) if self._pause_windows and self._paused and not was_paused else ()
        if self._count < self._stop_windows:
            return (*pause, *self._activity())
        if self._pause_windows and not pause and not was_paused:
            pause = (VadEvent.PAUSED,)
        self._state, self._behind = _SegmentState.QUIET, 0
        self.silence_s = self._settings.stop_secs
        return (*pause, VadEvent.STOPPED)

    def _activity(self) -> tuple[VadEvent, ...]:
        self._since_activity += 1
        if not self._activity_windows or self._since_activity < self._activity_windows:
            return ()
        self._since_activity = 0
        return (VadEvent.ACTIVITY,)
