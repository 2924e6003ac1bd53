"""What was said, what was heard, and what waits behind it: the agent's output without I/O.

Speech goes out ahead of time, so "sent" and "heard" are seconds apart. The ledger keeps positions,
in samples since the last clear, of the audio and of everything that came between the audio: words,
the end of a response, the end of the call. An item is due when the gateway reports that the playout
clock has passed its position, and not before. When the playout clock has nothing left to report, no
item may wait for a report: what comes then is due at once (`take_due`).

After an interruption the gateway answers with the position that it reached. From that the ledger
says which items were heard, which were not, and which audio has to be sent again because it must
not be interrupted.
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
"""The playout clock reports five times a second. One that was not heard of for this long is not taken to
play on: a gateway that stands still must not be sent more than it holds."""


@dataclass(slots=True, order=True)
class Item(Generic[T]):
    """Something that is due when `position` samples of the epoch were played."""

    position: int
    number: int
    what: T = field(compare=False)
    interruptible: bool = field(compare=False, default=True)


@dataclass(frozen=True, slots=True)
class Cut(Generic[T]):
    """The outcome of an interruption.

    `position` is what was heard of the old epoch, in samples. `due` are the items that the caller
    heard before the cut, `kept` those that must not be interrupted and follow the audio in
    `resend`, `dropped` the rest.
    """

    position: int
    due: list[T]
    dropped: list[T]
    kept: list[T]
    resend: list[bytes]


@dataclass(slots=True)
class _HeldAudio:
    """Uninterruptible audio, held until it was heard."""

    start: int
    pcm: bytearray

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES_PER_SAMPLE


class SpeechLedger(Generic[T]):
    """The books of one call's outgoing speech. All positions are in samples at `rate` (Hz).

    `lead_ms` bounds what is under way: sent, and not heard yet. `chunk_ms` is the size of a message
    once there is enough; the first of a stretch goes out however small it is.
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
        self._heard_at: float | None = None
        self._flush_to = 0  # what lies before this position goes out, however little it is
        self._items: list[Item[T]] = []
        self._kept: deque[_HeldAudio] = deque()

    # ------------------------------------------------------------------ what was said

    @property
    def queued(self) -> int:
        """The position behind everything said in this epoch so far."""
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
        """Whether all was heard and the playout clock has run dry: it reports nothing until more is said."""
        return not self._clearing and self._heard_at is None and self.unheard <= 0

    def audio(self, pcm: bytes, now: float, *, interruptible: bool = True) -> list[bytes]:
        """Say PCM16 mono. Returns the messages to send now. Raises `ValueError` for half a sample."""
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
        """Something that is due when `position` was heard (everything said so far, without one).

        Returns the messages to send now: what waits for the end of the audio must not wait for
        more audio to fill a chunk.
        """
        if position is None:
            position = max(self.queued, self._items[-1].position if self._items else 0)
        if position >= self.queued:
            self._flush_to = self.queued
        self._numbers += 1
        insort(self._items, Item(position, self._numbers, what, interruptible))
        return self._send(now)

    def estimate(self, now: float) -> int:
        """The position that the playout clock has reached by now, as far as this side can tell."""
        if self._heard_at is None:
            return self._heard
        since_s = min(now - self._heard_at, SILENT_S)
        return min(self._sent, self._heard + int(since_s * self.rate))

    # ------------------------------------------------------------------ what was heard

    def played(self, epoch: int, position: int, dry: bool, now: float) -> tuple[list[bytes], list[T]]:
        """A report of the playout clock. Returns the messages to send, and the items that are due."""
        if epoch != self.epoch or self._clearing:  # of speech that was cleared in the meantime
            return [], []
        if position >= self._heard:
            self._heard = min(position, self._sent)
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
        """The items that are due without another report, because none will come: after `item()` and `cut()`.

        A word whose audio is yet to come waits for it, unless speech has `ended`.
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

    # ------------------------------------------------------------------ interruptions

    def interrupt(self) -> int | None:
        """Begin an interruption. Returns the epoch to clear with, or None when nothing is under way.

        Until `cut()` nothing is sent, and what is said waits.
        """
        if self._clearing or (self._sent <= self._heard and not self._buffer and not self._items):
            return None
        self._clearing = True
        self.epoch += 1
        return self.epoch

    def cut(self, position: int, now: float) -> Cut[T]:
        """End the interruption: `position` samples of the old epoch were heard.

        Items said since `interrupt()` belong to the new epoch already only if they were given to
        the caller of this method afterwards; hold them back until it returns.
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
