"""The playout: speech comes in ahead of time, and leaves 20 ms at a time, when it is due. No I/O.

What has left this clock counts as heard. It has neither sockets nor timers: its owner calls `tick(now)`
about every 20 ms, sends the frames that are returned, and reports the progress to the agent. It stands on
the audio floor because the gateway plays with it and tests measure with it.

A caller who makes a sound may be cutting in, or coughing. Until that is decided the speech is *held*: it is silent at
once and nothing is thrown away. Then it is cleared, or goes on from the sample at which it was held, or from an
earlier one, because a word that was cut off in its middle is said again from its beginning.
"""

from __future__ import annotations

from typing import NamedTuple

from piopiy_pipeline.audio.fade import fade_out, without
from piopiy_pipeline.audio.frame import FRAME_MS, FRAME_S, frame_bytes

__all__ = ["Playout", "PlayoutError", "Progress", "Tick"]

_EARLY_S = 0.001  # a timer that fires this early is on time


class PlayoutError(ValueError):
    """The agent broke the rules of the media stream: it sent too far ahead, half a sample, or an old epoch, or
    wants speech again that nobody has heard.
    """


class Progress(NamedTuple):
    """`position` samples of `epoch` have left the clock; `dry` if nothing was left when the next was due."""

    epoch: int
    position: int
    dry: bool = False


class Tick(NamedTuple):
    """The result of one `tick`: frames of PCM16 mono for the caller, and reports for the agent."""

    frames: tuple[bytes, ...] = ()
    progress: tuple[Progress, ...] = ()


_NOTHING = Tick()


class Playout:
    """The speech of one call on its way to the caller: PCM16 little-endian mono.

    Every `now` is in seconds, of one clock that does not go backwards.

    Args:
        rate: Sample rate in Hz.
        played_every_ms: How often progress is reported while something plays: where `now` passes a whole multiple of
            it, so that the playouts of all calls report at once, and an agent wakes once for all.
        limit_s: How many seconds of speech the agent may send ahead.
        catch_up_ms: How much may leave at once when the clock's owner was late. The rest is put off, and
            that is counted as a gap, because the caller heard it as one.
    """

    epoch: int
    """How often the buffer was cleared, as the agent counts; 0 at first."""
    position: int
    """How many samples of this epoch are behind the clock. It goes back where speech is said again."""
    gaps: int
    """How often the caller heard silence in mid-speech: more came within `GAP_S`, or the clock was late."""
    worst_gap_s: float
    """The longest of the gaps, in seconds; 0.0 if there was none."""

    GAP_S = 0.5
    HOLD_S = 3.0
    """Speech that is held goes on by itself after so many seconds: an agent that hangs must not mute the bot."""
    KEPT_S = 2.0
    """So many seconds of what was played are kept, to be said again: longer than any word."""

    def __init__(
        self, *, rate: int, played_every_ms: int = 200, limit_s: float = 10.0, catch_up_ms: int = 200
    ) -> None:
        self.rate = rate
        self.epoch = 0
        self.position = 0
        self.gaps = 0
        self.worst_gap_s = 0.0
        self._frame_bytes = frame_bytes(rate)
        self._limit_bytes = int(limit_s * rate) * 2
        self._kept_bytes = int(self.KEPT_S * rate) * 2
        self._report_s = played_every_ms / 1000
        self._catch_up = max(1, catch_up_ms // FRAME_MS)
        self._buffer = bytearray()
        self._played = bytearray()  # the last that was, KEPT_S at most
        self._reached = 0  # the furthest position of this epoch
        self._held_until: float | None = None
        self._fade_due = False  # whether the hold is still to be heard
        self._faded = b""  # what was played, fading out, of the frame at `position`
        self._start: float | None = None  # of the stretch that plays; None while nothing does
        self._ticks = 0  # frames due since then
        self._reports = 0  # multiples of the time between two reports, at the last one
        self._dry_at: float | None = None

    @property
    def buffered_s(self) -> float:
        """How many seconds of speech wait."""
        return len(self._buffer) / 2 / self.rate

    @property
    def playing(self) -> bool:
        """Whether a stretch of speech is under way."""
        return self._start is not None

    @property
    def held(self) -> bool:
        """Whether the speech is held."""
        return self._held_until is not None

    def write(self, pcm: bytes) -> None:
        """Queue speech of the current epoch.

        Raises:
            PlayoutError: `pcm` ends in the middle of a sample, or more than `limit_s` would wait.
        """
        if len(pcm) % 2:
            raise PlayoutError(f"audio of {len(pcm)} bytes: no whole number of 16-bit samples")
        again = 2 * (self._reached - self.position)  # it was within the limit when it came
        if len(self._buffer) - again + len(pcm) > self._limit_bytes:
            limit = self._limit_bytes / 2 / self.rate
            raise PlayoutError(f"more than {limit:g} s of audio sent ahead of what was played")
        self._buffer += pcm

    def clear(self, epoch: int) -> int:
        """Drop what has not left the clock, and begin another epoch.

        Returns:
            The position that the old epoch has reached, in samples.

        Raises:
            PlayoutError: `epoch` is not greater than the current one.
        """
        if epoch <= self.epoch:
            raise PlayoutError(f"clear with epoch {epoch} after epoch {self.epoch}: epochs must grow")
        reached = self._reached
        self._buffer.clear()
        self._played.clear()
        self.epoch = epoch
        self.position = self._reached = 0
        self._start = self._dry_at = self._held_until = None
        self._fade_due, self._faded = False, b""
        return reached

    def forget(self) -> None:
        """Drop the speech, because nobody hears this playout any more. What was counted stays."""
        self._buffer = bytearray()  # one that is cleared can keep its memory
        self._played = bytearray()
        self._faded = b""

    def hold(self, epoch: int, now: float) -> int:
        """Be silent from the next tick on, with a fade of 20 ms, and keep everything until `resume` or `clear`.

        After `HOLD_S` without either the speech goes on by itself. What is written meanwhile waits, too.

        Args:
            epoch: The epoch to hold.
            now: The time in seconds.

        Returns:
            The position from which the speech goes on if nothing else is asked for.

        Raises:
            PlayoutError: `epoch` is not the current one.
        """
        if epoch != self.epoch:
            raise PlayoutError(f"hold of epoch {epoch}: the current one is {self.epoch}")
        if self._held_until is None:
            self._held_until = now + self.HOLD_S
            # A frame that was to fade in and has not yet: nothing is heard that would have to fade out.
            self._fade_due = self._start is not None and not self._faded
        return self.position

    def resume(self, position: int | None = None) -> None:
        """Let speech that is held go on at the next tick. Does nothing if none is held, because it has gone on
        by itself.

        Args:
            position: From where, in samples; None for the held one. One that is no longer kept is the earliest
                that is. It does not count if no tick came since `hold`: nothing of that was heard, and a word that
                was not cut is not said twice.

        Raises:
            PlayoutError: The position is after the one at which the speech is held.
        """
        if self._held_until is None:
            return
        if position is not None and position > self.position:
            raise PlayoutError(f"resume from {position}: the speech is held at {self.position}")
        self._held_until = None
        if self._fade_due:  # nothing of the hold was heard
            self._fade_due = False
        elif position is not None and position < self.position:
            self._say_again(min(2 * (self.position - position), len(self._played)))

    def _say_again(self, size: int) -> None:
        """Put the last `size` bytes that were played in front of what waits, to fade in."""
        if not size:
            return
        self._buffer[:0] = self._played[-size:]
        del self._played[-size:]
        self.position -= size // 2
        self._faded = fade_out(bytes(self._buffer[: self._frame_bytes]))

    def pause(self) -> None:
        """Put the caller on hold: what waits is played from here at the next `tick`, and that counts as no
        gap.
        """
        self._fade_due = False
        if self._buffer:  # if the stretch has come to its end, the next tick reports that
            self._start = self._dry_at = None

    def tick(self, now: float) -> Tick:
        """Take what is due by `now`, in frames of 20 ms. The last frame of a stretch is filled up with silence."""
        if self._held_until is not None:
            if now < self._held_until:
                return self._tick_held(now)
            self.resume()
        if self._start is None:
            if not self._buffer:
                return _NOTHING
            self._begin(now)
        frames: list[bytes] = []
        progress: list[Progress] = []
        while self._start is not None and (due := self._start + self._ticks * FRAME_S) <= now + _EARLY_S:
            if not self._buffer:
                self._start, self._dry_at = None, due
                progress.append(Progress(self.epoch, self.position, dry=True))
            elif len(frames) == self._catch_up:
                self._count_gap(now - due)
                self._start, self._ticks = now + FRAME_S, 0
            else:
                frames.append(self._take())
                self._ticks += 1
                reports = int((due + _EARLY_S) / self._report_s)
                if self._ticks == 1 or reports != self._reports:
                    self._reports = reports
                    progress.append(Progress(self.epoch, self.position))
        return Tick(tuple(frames), tuple(progress)) if frames or progress else _NOTHING

    def _tick_held(self, now: float) -> Tick:
        """Fade out, and tell of speech that had come to its end before it was held. No position is counted."""
        if self._start is None or self._start + self._ticks * FRAME_S > now + _EARLY_S:
            return _NOTHING
        self._start = self._dry_at = None
        if not self._buffer:
            self._fade_due = False
            return Tick(progress=(Progress(self.epoch, self.position, dry=True),))
        if not self._fade_due:
            return _NOTHING
        self._fade_due = False
        self._faded = fade_out(bytes(self._buffer[: self._frame_bytes]))
        return Tick(frames=(self._whole(self._faded),))

    def _begin(self, now: float) -> None:
        self._start, self._ticks = now, 0
        if self._dry_at is not None and now - self._dry_at <= self.GAP_S:
            self._count_gap(now - self._dry_at)
        self._dry_at = None

    def _take(self) -> bytes:
        frame = bytes(self._buffer[: self._frame_bytes])
        del self._buffer[: self._frame_bytes]
        self._played += frame
        del self._played[: -self._kept_bytes]
        self.position += len(frame) // 2
        self._reached = max(self._reached, self.position)
        if self._faded:
            frame, self._faded = without(frame, self._faded), b""
        return self._whole(frame)

    def _whole(self, pcm: bytes) -> bytes:
        return pcm if len(pcm) == self._frame_bytes else pcm.ljust(self._frame_bytes, b"\0")

    def _count_gap(self, length_s: float) -> None:
        self.gaps += 1
        self.worst_gap_s = max(self.worst_gap_s, length_s)
