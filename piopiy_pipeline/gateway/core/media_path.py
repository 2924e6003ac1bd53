"""The media path: who hears whom in a call, the caller and the agent, two callers, or nobody. No I/O.

All audio of a call passes here once, in both directions. So a call is held, muted, cleaned, joined with another leg,
and tapped for a recording here.
"""

from __future__ import annotations

from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.audio.sound_cleaner import CleanSound, SoundCleaner
from piopiy_pipeline.audio.tones import Tone, ToneName
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.core.bridge import Bridge
from piopiy_pipeline.gateway.core.call_offer import MediaPort
from piopiy_pipeline.gateway.core.caller_backlog import CallerBacklog
from piopiy_pipeline.gateway.core.leg import Leg, SoundSource
from piopiy_pipeline.gateway.core.sound_cleaning import SoundCleaning

__all__ = ["HoldSound", "MediaPath", "NoRecordings", "RecordingTap", "Recordings"]


ALONE_S = 2.0
"""A caller who is without an agent for so many seconds hears the tone of a call on hold, so that they stay."""


class HoldSound(Protocol):
    """What a caller on hold hears."""

    def frame(self) -> bytes:
        """Return the next 20 ms: PCM16 little-endian mono at the leg's rate."""


class RecordingTap(Protocol):
    """Receives the audio of a call for a recording: PCM16 mono at the leg's rate."""

    def caller(self, pcm: bytes) -> None:
        """Take what the caller said, a piece of any size."""

    def bot(self, frame: bytes) -> None:
        """Take 20 ms that were sent to the caller."""

    def close(self) -> None:
        """Finish the recording; no more audio follows."""


class Recordings(Protocol):
    """Makes recordings of calls, where the gateway keeps them."""

    def begin(self, info: CallInfo, rate: int) -> RecordingTap | None:
        """Begin a recording of this call.

        Args:
            info: The call.
            rate: The sample rate of its leg in Hz.

        Returns:
            What is to be given the audio, or None if the call cannot be recorded: that has been logged.
        """


class NoRecordings:
    """Recordings of a gateway that keeps none."""

    def begin(self, info: CallInfo, rate: int) -> RecordingTap | None:
        logger.bind(call_id=info.call_id).warning(
            "the call is not recorded: this gateway has no folder for it"
        )
        return None


class MediaPath:
    """Carries the audio between a leg and whoever is at the other end.

    While the call is on hold, the agent's speech waits where it is, and goes on after the hold.

    Args:
        leg: The caller.
    """

    def __init__(self, leg: Leg) -> None:
        self.muted = False
        self.tap: RecordingTap | None = None
        self.recorded = False
        """Whether a recording was begun."""
        self.bridge: Bridge | None = None
        self._leg = leg
        self.backlog = CallerBacklog(leg)
        """What the next instance of the agent has to hear."""
        self._hold_sound: HoldSound | None = None
        self._source: SoundSource = "bot"  # whose sound the caller hears
        self._alone_since: float | None = None
        self._waiting_tone: Tone | None = None  # of a caller who has been without an agent for long
        self._cleaner: SoundCleaner | None = None
        self._cleaned: dict[str, float] = {}  # by the cleaner that was

    @property
    def held(self) -> bool:
        return self._hold_sound is not None

    def hold(self, sound: ToneName | HoldSound = "hold") -> None:
        """Stop the audio between both sides, and play `sound` to the caller."""
        self._hold_sound = Tone(sound, self._leg.rate) if isinstance(sound, str) else sound

    def resume(self) -> None:
        """Let both sides hear each other again."""
        self._hold_sound = None

    def record(self, recordings: Recordings, info: CallInfo) -> None:
        """Record both sides from now on. If the call is recorded already, nothing changes."""
        if self.tap is None:
            self.tap = recordings.begin(info, self._leg.rate)
            self.recorded = self.recorded or self.tap is not None

    def stop_recording(self) -> None:
        """End the recording. It may be begun again."""
        tap, self.tap = self.tap, None
        if tap is not None:
            tap.close()

    def clean(self, cleaning: SoundCleaning, info: CallInfo, what: CleanSound | None = None) -> None:
        """Clean what the caller says from now on; with ``off``, no longer. None for `what` is the gateway's choice.

        A recording has the audio as it came. To ask for the same twice changes nothing: what was learnt of an echo is
        kept.
        """
        if self._cleaner is not None and self._cleaner.what == what:
            return
        self.stop_cleaning(cleaning)
        self._cleaner = cleaning.begin(info, self._leg.rate, what)

    def stop_cleaning(self, cleaning: SoundCleaning) -> None:
        """Pass the caller's audio on as it comes. To do it twice changes nothing."""
        if self._cleaner is not None:
            self._cleaned = self._cleaner.quality()
            cleaning.end(self._cleaner)
            self._cleaner = None

    def sound_quality(self) -> dict[str, float]:
        """Return what was cleaned, see `SoundCleaner.quality`; empty where nothing was."""
        return self._cleaned if self._cleaner is None else self._cleaner.quality()

    def join(self, bridge: Bridge) -> None:
        """Let the caller talk to the bridge's other leg from now on. A hold and a mute end."""
        self.bridge, self._hold_sound, self.muted = bridge, None, False

    def caller_audio(self, pcm: bytes, media: MediaPort | None) -> None:
        """Pass on what the caller said, to the agent or to the bridge.

        Args:
            pcm: PCM16 mono at the leg's rate.
            media: The agent's media stream. None: the call is between two instances, and the next one hears it.
        """
        if self.tap is not None:
            self.tap.caller(pcm)
        if self._cleaner is not None:
            pcm = self._cleaner.clean(pcm)
        if self.bridge is not None:
            self.bridge.near_audio(pcm)
        elif self.muted or self.held:
            self.backlog.drop_waiting()
        else:
            self.backlog.audio(pcm, media)

    def catch_up(self, media: MediaPort) -> None:
        """Pass on what the caller did while nobody had the call: its agent has it now, and the caller may say nothing
        for a while, on hold, muted, or in a text chat.
        """
        if self.muted or self.held:
            self.backlog.drop_waiting()
        self.backlog.pass_waiting(media)

    def caller_keys(self, digits: str, media: MediaPort | None) -> None:
        """Pass on keys of the caller's to the agent. `media` is as in `caller_audio`."""
        self.backlog.keys(digits, media)

    def caller_message(self, data: dict[str, Any], media: MediaPort | None) -> None:
        """Pass on a message of the caller's application to the agent. `media` is as in `caller_audio`."""
        self.backlog.message(data, media)

    def on_frame_tick(self, now: float, media: MediaPort | None) -> None:
        """Send the caller what is due in these 20 ms. `media` is the agent's stream, None without an agent."""
        if media is not None or self.bridge is not None:
            self._alone_since = self._waiting_tone = None
        if not self._leg.hears:
            if media is not None:
                media.pause()
            return
        self._tell_source(media)
        if self.bridge is not None:
            frame = self.bridge.on_frame_tick()
            if frame is not None:
                self._send(frame)
        elif self._hold_sound is not None:
            if media is not None:
                media.pause()
            self._send(self._hold_sound.frame())
        elif media is not None:
            due = media.due_audio(now)
            for frame in due.frames:
                self._send(frame)
            media.report_progress(due.progress)
        else:
            self._play_alone(now)
        if self._cleaner is not None:
            self._cleaner.played_until(now)

    def _tell_source(self, media: MediaPort | None) -> None:
        source: SoundSource = "bot" if media is not None else "nobody"
        if self.bridge is not None:
            source = "bridge"
        elif self._hold_sound is not None:
            source = "hold"
        if source != self._source:
            self._source = source
            self._leg.sound_from(source)

    def _play_alone(self, now: float) -> None:
        if self._alone_since is None:
            self._alone_since = now
        elif self._waiting_tone is not None:
            self._send(self._waiting_tone.frame())
        elif now - self._alone_since >= ALONE_S:
            self._waiting_tone = Tone("hold", self._leg.rate)

    def _send(self, frame: bytes) -> None:
        self._leg.send_audio(frame)
        if self._cleaner is not None:
            self._cleaner.played(frame)
        if self.tap is not None:
            self.tap.bot(frame)
