"""The ledger of the bot's speech: what was sent, what the caller has heard, and what waits behind it. No I/O.

Speech goes out ahead of time, so "sent" and "heard" are seconds apart. The ledger keeps positions,
in samples since the last clear, of the audio and of everything that came between the audio: words,
the end of a response, the end of the call. An item is due when the gateway reports that the playout
clock has passed its position, and not before. When the playout has played everything, it reports
nothing until more is sent; so an item that comes then is due at once (`take_due`).

After an interruption the gateway answers with the position that it reached. From that the ledger
says which items were heard, which were not, and which audio has to be sent again because it must
not be interrupted.

Speech that the gateway holds stands still: nothing more of it counts as heard until it goes on.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Cut", "Item", "SpeechLedger"]

T = TypeVar("T")

BYTES_PER_SAMPLE = 2
SILENT_S = 1.0
"""The playout reports five times a second. One that was not heard of for this long is not taken to
play on: a gateway that stands still must not be sent more than it holds."""


@dataclass(slots=True, order=True)
class Item(Generic[T]):
    """Something that is due when `position` samples of the epoch were played; `number` keeps the order."""

    position: int
    number: int
    what: T = field(compare=False)
    interruptible: bool = field(compare=False, default=True)


@dataclass(frozen=True, slots=True)
class Cut(Generic[T]):
    """What an interruption leaves of the speech before it."""

    position: int
    """How much of the old epoch was heard, in samples."""
    due: list[T]
    """The items that the caller heard before the interruption."""
    dropped: list[T]
    """The items that the caller did not hear, and never will."""
    kept: list[T]
    """The items that must not be interrupted; they follow the audio in `resend`."""
    resend: list[bytes]
    """The audio that must not be interrupted and was not heard: messages of PCM16 mono, to be sent now."""


@dataclass(slots=True)
class _HeldAudio:
    """Audio that must not be interrupted, kept until it was heard."""

    start: int
    pcm: bytearray

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES_PER_SAMPLE


class SpeechLedger(Generic[T]):
    """The positions of one call's outgoing speech, in samples of the current epoch.

    Every `now` is in seconds of one clock. Audio is PCM16 little-endian mono.

    Args:
        rate: Sample rate of the speech in Hz.
        lead_ms: How much speech may be sent and not heard yet.
        chunk_ms: The size of a message once there is enough; the first of a stretch of speech is sent
            however small it is.
    """

    def __init__(self, rate: int, *, lead_ms: int = 5000, chunk_ms: int = 200) -> None:
        self.rate = rate
        self.epoch = 0
        self._lead = rate * lead_ms // 1000
        self._chunk = rate * chunk_ms // 1000
        self._low = self._chunk
        self._numbers = 0
        self._clearing = False
        self._reset()

    def _reset(self) -> None:
        self._buffer = bytearray()  # not sent yet
        self._sent = 0
        self._heard = 0
        self._head = 0  # where the playout was by its last report: before `heard` where speech is said again
        self._heard_at: float | None = None
        self._held_at: int | None = None  # where a hold stopped the playout: first by an estimate
        self._hold_answered = False
        self._flush_to = 0  # what lies before this position goes out, however little it is
        self._items: list[Item[T]] = []
        self._kept: deque[_HeldAudio] = deque()

    # ------------------------------------------------------------------ what was said

    @property
    def queued(self) -> int:
        """The position after everything said in this epoch so far."""
        return self._sent + len(self._buffer) // BYTES_PER_SAMPLE

    @property
    def heard(self) -> int:
        """The position up to which this epoch was reported as heard."""
        return self._heard

    @property
    def unheard(self) -> int:
        """Samples said and not reported as heard."""
        return self.queued - self._heard

    @property
    def waiting(self) -> int:
        """Samples that wait here, because what is under way has reached the lead."""
        return len(self._buffer) // BYTES_PER_SAMPLE

    @property
    def clearing(self) -> bool:
        """Whether a clear was sent and is not answered yet. Nothing is sent meanwhile."""
        return self._clearing

    @property
    def settled(self) -> bool:
        """Whether everything said was heard, and nothing waits behind it."""
        return not self._clearing and not self._items and self.unheard <= 0

    @property
    def resting(self) -> bool:
        """Whether all was heard and the playout has run dry: it reports nothing until more is said."""
        return not self._clearing and self._heard_at is None and self.unheard <= 0

    def audio(self, pcm: bytes, now: float, *, interruptible: bool = True) -> list[bytes]:
        """Add speech after everything said so far.

        Args:
            pcm: PCM16 mono at `rate`.
            now: The time in seconds.
            interruptible: Whether an interruption may drop it.

        Returns:
            The messages to send now, each PCM16 mono.

        Raises:
            ValueError: `pcm` ends in the middle of a sample.
        """
        if len(pcm) % BYTES_PER_SAMPLE:
            raise ValueError(f"audio of {len(pcm)} bytes: no whole number of 16-bit samples")
        if not interruptible:
            if self._kept and self._kept[-1].end == self.queued:
                self._kept[-1].pcm += pcm
            else:
                self._kept.append(_HeldAudio(self.queued, bytearray(pcm)))
        self._buffer += pcm
        return self._send(now)

    def item(
        self, what: T, now: float, *, position: int | None = None, interruptible: bool = True
    ) -> list[bytes]:
        """Add an item that is due when the caller has heard up to its position.

        Args:
            what: The item.
            now: The time in seconds.
            position: In samples; None is after everything said so far.
            interruptible: Whether an interruption may drop it.

        Returns:
            The messages to send now: an item at the end of the audio must not wait until more audio has
            filled a chunk.
        """
        if position is None:
            position = max(self.queued, self._items[-1].position if self._items else 0)
        if position >= self.queued:
            self._flush_to = self.queued
        self._numbers += 1
        insort(self._items, Item(position, self._numbers, what, interruptible))
        return self._send(now)

    def estimate(self, now: float) -> int:
        """Estimate the position that the playout has reached at `now`, from its last report."""
        if self._held_at is not None:
            return max(self._heard, self._held_at)
        if self._heard_at is None:
            return self._heard
        since_s = min(now - self._heard_at, SILENT_S)
        return max(self._heard, min(self._sent, self._head + int(since_s * self.rate)))

    # ------------------------------------------------------------------ what was heard

    def played(self, epoch: int, position: int, dry: bool, now: float) -> tuple[list[bytes], list[T]]:
        """Take a report of the playout.

        Args:
            epoch: That it reports on; another than the current one is ignored.
            position: How many samples of the epoch were played.
            dry: Whether it has nothing left to play.
            now: The time in seconds.

        Returns:
            The messages to send now, and the items that are due.
        """
        if epoch != self.epoch or self._clearing:  # of speech that was cleared in the meantime
            return [], []
        if self._held_at is not None and self._hold_answered and position > self._held_at:
            self._held_at = None  # the playout has gone on by itself
        self._heard = max(self._heard, min(position, self._sent))
        self._head = min(position, self._sent)
        self._heard_at = None if dry else now
        if dry and self._heard >= self.queued:
            due = [item.what for item in self._items]  # nothing follows that they could wait for
            self._items.clear()
        else:
            due = self._take_due()
        while self._kept and self._kept[0].end <= self._heard:
            self._kept.popleft()
        return self._send(now), due

    def take_due(self, *, ended: bool = False) -> list[T]:
        """Take the items that are due now because no report will come. Call it after `item()` and `cut()`.

        Args:
            ended: No more audio comes, so that words whose audio has not come are due as well.
        """
        if not self.resting:
            return []
        if ended:
            due = [item.what for item in self._items]
            self._items.clear()
            return due
        return self._take_due()

    def _take_due(self) -> list[T]:
        n = 0
        while n < len(self._items) and self._items[n].position <= self._heard:
            n += 1
        due = [item.what for item in self._items[:n]]
        del self._items[:n]
        return due

    # ------------------------------------------------------------------ holds

    @property
    def held(self) -> bool:
        """Whether the playout was asked to hold the speech, and not to go on yet."""
        return self._held_at is not None

    def spares(self, now: float) -> bool:
        """Return whether what plays at `now` must not be interrupted."""
        if not self._kept:
            return False
        at = self.estimate(now)
        return any(part.start <= at < part.end for part in self._kept)

    def hold(self, now: float) -> int | None:
        """Begin a hold.

        Returns:
            The epoch to send with `Hold`, or None if the speech is held or being cleared already.
        """
        if self._clearing or self.held:
            return None
        self._held_at, self._hold_answered = self.estimate(now), False
        return self.epoch

    def hold_answered(self, epoch: int, position: int) -> list[T]:
        """Take the playout's answer to a hold, that `position` samples of `epoch` were played. Returns the items
        that are due.
        """
        if epoch != self.epoch or self._clearing or not self.held:
            return []
        self._held_at = self._head = min(position, self._sent)
        self._hold_answered = True
        self._heard = max(self._heard, self._held_at)
        return self._take_due()

    def resume(self, now: float, position: int | None = None) -> tuple[int | None, list[bytes]]:
        """End a hold: the speech goes on.

        Args:
            now: The time in seconds.
            position: From where, in samples; None for where it is held.

        Returns:
            The position to send with `Resume`, and the messages to send now.
        """
        again = self._hold_answered and position is not None and 0 <= position < (self._held_at or 0)
        if again and position is not None:
            self._head = position
        self._held_at = None
        if self._heard_at is not None or again:  # a playout that has run dry reports nothing more
            self._heard_at = now
        return position if again else None, self._send(now)

    # ------------------------------------------------------------------ interruptions

    def interrupt(self) -> int | None:
        """Begin an interruption. Until `cut()` is called, nothing is sent.

        Returns:
            The epoch to send with `Clear`, or None if there is nothing to interrupt.
        """
        nothing = self._sent <= self._heard and not self._buffer and not self._items
        if self._clearing or (nothing and not self.held):  # a hold of nothing would keep the next answer
            return None
        self._clearing = True
        self.epoch += 1
        return self.epoch

    def cut(self, position: int, now: float) -> Cut[T]:
        """End the interruption. Do not add audio or items between `interrupt()` and this.

        Args:
            position: How many samples of the old epoch were heard.
            now: The time in seconds.

        Returns:
            Which items were heard and which were not, and the audio to send again.
        """
        heard = max(min(position, self._sent), 0)
        items, audio = self._items, list(self._kept)
        self._reset()
        self._clearing = False
        resend: list[bytes] = []
        moved: list[tuple[int, int, int]] = []  # (start, end, shift) of audio that is said again
        for part in audio:
            if part.end <= heard:
                continue
            start = max(part.start, heard)
            moved.append((start, part.end, start - self.queued))
            resend += self.audio(
                bytes(part.pcm[(start - part.start) * BYTES_PER_SAMPLE :]), now, interruptible=False
            )
        due: list[T] = []
        dropped: list[T] = []
        kept: list[T] = []
        for item in items:
            if item.position <= heard:
                due.append(item.what)
                continue
            if item.interruptible:
                dropped.append(item.what)
                continue
            shift = next((s for start, end, s in moved if start <= item.position <= end), None)
            kept.append(item.what)
            resend += self.item(
                item.what,
                now,
                position=None if shift is None else item.position - shift,
                interruptible=False,
            )
        return Cut(heard, due, dropped, kept, resend)

    # ------------------------------------------------------------------ sending

    def _send(self, now: float) -> list[bytes]:
        messages: list[bytes] = []
        if self._clearing:
            return messages
        while self._buffer:
            lead = self._sent - self.estimate(now)
            n = min(len(self._buffer) // BYTES_PER_SAMPLE, self._chunk)
            if lead + n > self._lead and lead > 0:
                break
            enough = lead >= self._low and self._sent + n > self._flush_to
            if n < self._chunk and enough:  # wait for a full chunk
                break
            messages.append(bytes(self._buffer[: n * BYTES_PER_SAMPLE]))
            del self._buffer[: n * BYTES_PER_SAMPLE]
            self._sent += n
        return messages
