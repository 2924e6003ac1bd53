"""Makes a turn of the conversation of the keys that a caller types on their telephone.

The stage stands behind the STT, where transcripts come from. The keys of one entry are gathered until the
terminator or a pause, and are pushed as one transcript. It differs from pipecat's `DTMFAggregator`: the
terminator is not part of the text, there need not be one, and the bot is interrupted only if callers may
interrupt it. A terminator that comes late, behind an entry that a pause has ended, is no entry.
"""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputDTMFFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.arguments import check_kind, check_seconds, shown
from piopiy_pipeline.late_keys import LateKeys
from piopiy_pipeline.processors.typed_words import typed_words

__all__ = ["KeyEntry", "KeysToText"]

MAX_KEYS = 64
"""A longer entry is pushed in parts."""


class KeyEntry:
    """Gathers the keys of one entry. No I/O: times are in seconds of one clock.

    Args:
        terminator: The key that ends an entry at once; None if there is none.
        timeout_s: An entry ends as well after so many seconds without a key.

    Raises:
        ValueError: The terminator is not one key of ``0-9*#``, or the timeout is not positive.
        TypeError: One of them is of the wrong kind.
    """

    def __init__(self, *, terminator: str | None = "#", timeout_s: float = 2.0) -> None:
        check_kind("the terminator", terminator, (str, type(None)), "one key of 0-9, * and #, or None")
        check_seconds("the timeout of keys", timeout_s)
        if terminator is not None and (len(terminator) != 1 or terminator not in "0123456789*#"):
            raise ValueError(f"the terminator is one key of 0-9, * and #, or None: not {shown(terminator)}")
        self._terminator = terminator
        self._timeout_s = timeout_s
        self._keys = ""
        self.deadline: float | None = None
        """When `tick` must be called, in seconds; None for never."""

    @property
    def begun(self) -> bool:
        """Whether there are keys of an entry that is not complete."""
        return bool(self._keys)

    def press(self, key: str, now: float) -> str | None:
        """Take a key.

        Returns:
            The entry that it completes, or None. The terminator alone is an entry, too.
        """
        if key == self._terminator:
            return self.take() or key
        self._keys += key
        self.deadline = now + self._timeout_s
        return self.take() if len(self._keys) >= MAX_KEYS else None

    def tick(self, now: float) -> str | None:
        """Call at `deadline`. Returns the entry that is complete because no key has followed, or None."""
        return self.take() if self.deadline is not None and now >= self.deadline else None

    def take(self) -> str:
        """Return the keys of the entry so far, and begin another entry."""
        keys, self._keys, self.deadline = self._keys, "", None
        return keys


class KeysToText(FrameProcessor):
    """Makes a finalized `TranscriptionFrame` of each entry. The keys' own frames pass.

    Args:
        terminator: The key that ends an entry at once; None if there is none.
        timeout_s: An entry ends as well after so many seconds without a key.
        prefix: Stands before the keys in the text.
        interrupts: Whether the first key of an entry interrupts the bot.

    Raises:
        ValueError: The terminator or the timeout is not allowed, as for `KeyEntry`.
    """

    def __init__(
        self,
        *,
        terminator: str | None = "#",
        timeout_s: float = 2.0,
        prefix: str = "",
        interrupts: bool = True,
    ) -> None:
        super().__init__(name="keys")
        self._entry = KeyEntry(terminator=terminator, timeout_s=timeout_s)
        self._terminator = terminator or ""
        self._prefix = prefix
        self._interrupts = interrupts
        self._waiter: asyncio.Task[None] | None = None
        self.suspended = False
        """Set while keys are no turns, because something else reads them."""
        self.late = LateKeys()
        """The keys that are no turn, because they belong to an input that is over, by the loop's clock."""

    @property
    def typing(self) -> bool:
        """Whether an entry has begun that is not complete."""
        return self._entry.begun

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Gather keys, and let every frame pass."""
        await super().process_frame(frame, direction)
        if isinstance(frame, (EndFrame, CancelFrame)):
            await self._halt()
        await self.push_frame(frame, direction)
        if (
            isinstance(frame, InputDTMFFrame)
            and not self.suspended
            and direction is FrameDirection.DOWNSTREAM
        ):
            await self._press(frame.button.value)

    async def cleanup(self) -> None:
        """Drop the entry that is under way."""
        await super().cleanup()
        await self._halt()

    async def _press(self, key: str) -> None:
        if not self._entry.begun and self.late.has(key, self._now()):
            return
        if self._interrupts and not self._entry.begun:
            await self.broadcast_interruption()
        entry = self._entry.press(key, self._now())
        if entry:
            await self._push_entry(entry)
        elif self._waiter is None:
            self._waiter = self.create_task(self._wait(), "keys::timeout")

    async def _wait(self) -> None:
        """Wait until the entry is complete. Keys that come meanwhile move its deadline."""
        while (deadline := self._entry.deadline) is not None:
            await asyncio.sleep(max(0.0, deadline - self._now()))
            if entry := self._entry.tick(self._now()):
                self.late.ended(self._now(), self._terminator)
                await self._push_entry(entry)
        self._waiter = None

    async def _push_entry(self, entry: str) -> None:
        await self.push_frame(typed_words(f"{self._prefix}{entry}"))

    async def _halt(self) -> None:
        self._entry.take()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            await self.cancel_task(waiter)

    def _now(self) -> float:
        return self.get_event_loop().time()
