"""Who hears whom in a call: the caller and the agent, the caller and somebody else, or nobody. No I/O.

All sound of a call passes here, both ways, once: so this is where it is held, muted, joined with
another leg, and tapped for a recording.
"""

from __future__ import annotations

from typing import Protocol

from loguru import logger

from piopiy_pipeline.audio.tones import Tone, ToneName
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.core.bridge import Bridge
from piopiy_pipeline.gateway.core.call_offer import MediaPort
from piopiy_pipeline.gateway.core.leg import Leg

__all__ = ["MediaPath", "NoRecordings", "RecordingTap", "Recordings"]


class RecordingTap(Protocol):
    """Whoever listens in: a recording. PCM16 mono at the leg's rate."""

    def caller(self, pcm: bytes) -> None:
        """What the caller said, as it came."""

    def bot(self, frame: bytes) -> None:
        """20 ms of what the caller hears, as it leaves."""

    def close(self) -> None:
        """Nothing follows."""


class Recordings(Protocol):
    """Whoever keeps recordings."""

    def begin(self, info: CallInfo, rate: int) -> RecordingTap | None:
        """Record a call whose leg has this sample rate, from now on. None if that cannot be: it says so itself."""


class NoRecordings:
    """A gateway that keeps none."""

    def begin(self, info: CallInfo, rate: int) -> RecordingTap | None:
        logger.warning("call {} is not recorded: this gateway has no folder for it", info.call_id)
        return None


class MediaPath:
    """The way of the sound between `leg` and whoever is at the other end.

    While the call is on hold, the agent's speech waits where it is: what the bot says after that is heard.
    """

    def __init__(self, leg: Leg) -> None:
        self.muted = False
        self.tap: RecordingTap | None = None
        self.recorded = False
        """Whether there is a recording, of some of it at least."""
        self.bridge: Bridge | None = None
        self._leg = leg
        self._hold_tone: Tone | None = None

    @property
    def held(self) -> bool:
        return self._hold_tone is not None

    def hold(self, sound: ToneName = "hold") -> None:
        """Neither side hears the other from now on; the caller hears `sound`."""
        self._hold_tone = Tone(sound, self._leg.rate)

    def resume(self) -> None:
        """The hold is over."""
        self._hold_tone = None

    def record(self, recordings: Recordings, info: CallInfo) -> None:
        """Record from now on what both sides say. Said twice, it is the same."""
        if self.tap is None:
            self.tap = recordings.begin(info, self._leg.rate)
            self.recorded = self.recorded or self.tap is not None

    def stop_recording(self) -> None:
        """The recording is over, unless it is begun again."""
        tap, self.tap = self.tap, None
        if tap is not None:
            tap.close()

    def join(self, bridge: Bridge) -> None:
        """From now on the caller talks to the bridge's other leg, whatever was before."""
        self.bridge, self._hold_tone, self.muted = bridge, None, False

    def caller_audio(self, pcm: bytes, media: MediaPort | None) -> None:
        """The caller's sound, at the leg's rate."""
        if self.tap is not None:
            self.tap.caller(pcm)
        if self.bridge is not None:
            self.bridge.near_audio(pcm)
        elif media is not None and not self.muted and not self.held:
            media.caller_audio(pcm)

    def on_frame_tick(self, now: float, media: MediaPort | None) -> None:
        """Send the caller what is due in these 20 ms. `media` is the agent's stream, None without an agent."""
        if self.bridge is not None:
            frame = self.bridge.on_frame_tick()
            if frame is not None:
                self._send(frame)
        elif self._hold_tone is not None:
            if media is not None:
                media.pause()
            self._send(self._hold_tone.frame())
        elif media is not None:
            due = media.due_audio(now)
            for frame in due.frames:
                self._send(frame)
            media.report_progress(due.progress)

    def _send(self, frame: bytes) -> None:
        self._leg.send_audio(frame)
        if self.tap is not None:
            self.tap.bot(frame)
