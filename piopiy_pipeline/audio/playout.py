"""The playout: speech comes in ahead of time, and leaves 20 ms at a time, when it is due. No I/O.

What has left this clock counts as heard. It has neither sockets nor timers: its owner calls `tick(now)`
about every 20 ms, sends the frames that are returned, and reports the progress to the agent. It stands on
the audio floor because the gateway plays with it and tests measure with it.
"""

from __future__ import annotations

from typing import NamedTuple

from piopiy_pipeline.audio.frame import FRAME_MS, FRAME_S, frame_bytes

__all__ = ["Playout", "PlayoutError", "Progress", "Tick"]

_EARLY_S = 0.001  # a timer that fires this early is on time


class PlayoutError(ValueError):
    """The agent broke the rules of the media stream: it sent too far ahead, half a sample, or an old epoch."""


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
        played_every_ms: How often progress is reported while something plays.
        limit_s: How many seconds of speech the agent may send ahead.
        catch_up_ms: How much may leave at once when the clock's owner was late. The rest is put off, and
            that is counted as a gap, because the caller heard it as one.
    """

    epoch: int
    """How often the buffer was cleared, as the agent counts; 0 at first."""
    position: int
    """Samples of this epoch that have left the clock."""
    gaps: int
    """How often the caller heard silence in mid-speech: more came within `GAP_S`, or the clock was late."""
    worst_gap_s: float
    """The longest of the gaps, in seconds; 0.0 if there was none."""

    GAP_S = 0.5

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
        self._report_samples = rate * played_every_ms // 1000
        self._catch_up = max(1, catch_up_ms // FRAME_MS)
        self._buffer = bytearray()
        self._start: float | None = None  # of the stretch that plays; None while nothing does
        self._ticks = 0  # frames due since then
        self._reported = 0
        self._dry_at: float | None = None

    @property
    def buffered_s(self) -> float:
        """How many seconds of speech wait."""
        return len(self._buffer) / 2 / self.rate

    @property
    def playing(self) -> bool:
        """Whether a stretch of speech is under way."""
        return self._start is not None

    def write(self, pcm: bytes) -> None:
        """Queue speech of the current epoch.

        Raises:
            PlayoutError: `pcm` ends in the middle of a sample, or more than `limit_s` would wait.
        """
        if len(pcm) % 2:
            raise PlayoutError(f"audio of {len(pcm)} bytes: no whole number of 16-bit samples")
        if len(self._buffer) + len(pcm) > self._limit_bytes:
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
        reached = self.position
        self._buffer.clear()
        self.epoch = epoch
        self.position = self._reported = 0
        self._start = self._dry_at = None
        return reached

    def pause(self) -> None:
        """Put the caller on hold: what waits is played from here at the next `tick`, and that counts as no
        gap.
        """
        if self._buffer:  # if the stretch has come to its end, the next tick reports that
            self._start = self._dry_at = None

    def tick(self, now: float) -> Tick:
        """Take what is due by `now`, in frames of 20 ms. The last frame of a stretch is filled up with silence."""
        if self._start is None:
            if not self._buffer:
                return _NOTHING
            self._begin(now)
        frames: list[bytes] = []
        progress: list[Progress] = []
        while self._start is not None and (due := self._start + self._ticks * FRAME_S) <= now + _EARLY_S:
            if not self._buffer:
                self._start, self._dry_at = None, due
                self._reported = self.position
                progress.append(Progress(self.epoch, self.position, dry=True))
            elif len(frames) == self._catch_up:
                self._count_gap(now - due)
                self._start, self._ticks = now + FRAME_S, 0
            else:
                frames.append(self._take())
                self._ticks += 1
                if self._ticks == 1 or self.position - self._reported >= self._report_samples:
                    self._reported = self.position
                    progress.append(Progress(self.epoch, self.position))
        return Tick(tuple(frames), tuple(progress)) if frames or progress else _NOTHING

    def _begin(self, now: float) -> None:
        self._start, self._ticks = now, 0
        if self._dry_at is not None and now - self._dry_at <= self.GAP_S:
            self._count_gap(now - self._dry_at)
        self._dry_at = None

    def _take(self) -> bytes:
        frame = bytes(self._buffer[: self._frame_bytes])
        del self._buffer[: self._frame_bytes]
        self.position += len(frame) // 2
        return frame if len(frame) == self._frame_bytes else frame.ljust(self._frame_bytes, b"\0")

    def _count_gap(self, length_s: float) -> None:
        self.gaps += 1
        self.worst_gap_s = max(self.worst_gap_s, length_s)
