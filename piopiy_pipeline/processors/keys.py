"""Keys as words: what a caller types on their telephone becomes a turn of the conversation.

It stands behind the STT, where transcripts come from. The keys of one entry are gathered until the
terminator or a pause, and go on as one transcript. pipecat's `DTMFAggregator` does the like; this one
leaves the terminator out of the text, can do without one, and cuts the bot off only where callers may.
"""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputDTMFFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.time import time_now_iso8601

__all__ = ["KeyEntry", "KeysToText"]

MAX_KEYS = 64
"""An entry that is longer goes on in parts."""


class KeyEntry:
    """Gathers the keys of one entry; without I/O. All times are seconds of one clock.

    `terminator` ends an entry at once (None: nothing does), and `timeout_s` without a key does, too.
    """

    def __init__(self, *, terminator: str | None = "#", timeout_s: float = 2.0) -> None:
        if terminator is not None and (len(terminator) != 1 or terminator not in "0123456789*#"):
            raise ValueError(f"the terminator is one key of 0-9, * and #, or None: not {terminator!r}")
        if not timeout_s > 0:
            raise ValueError(f"the timeout of keys must be more than 0 seconds, not {timeout_s!r}")
        self._terminator = terminator
        self._timeout_s = timeout_s
        self._keys = ""
        self.deadline: float | None = None
        """When `tick` wants to be called, in seconds; None for never."""

    @property
    def begun(self) -> bool:
        """Whether there are keys of an entry that is not complete."""
        return bool(self._keys)

    def press(self, key: str, now: float) -> str | None:
        """A key was pressed. Returns the entry that it completes: the terminator alone is one."""
        if key == self._terminator:
            return self.take() or key
        self._keys += key
        self.deadline = now + self._timeout_s
        return self.take() if len(self._keys) >= MAX_KEYS else None

    def tick(self, now: float) -> str | None:
        """Call at `deadline`. Returns the entry that is complete because nothing followed."""
        return self.take() if self.deadline is not None and now >= self.deadline else None

    def take(self) -> str:
        """What there is of an entry, which is over with that."""
        keys, self._keys, self.deadline = self._keys, "", None
        return keys


class KeysToText(FrameProcessor):
    """Makes a finalized `TranscriptionFrame` of each entry: `prefix`, and the keys.

    The keys' own frames pass. With `interrupts` the first key of an entry cuts the bot off.
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
        self._prefix = prefix
        self._interrupts = interrupts
        self._waiter: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Gather keys; let everything pass."""
        await super().process_frame(frame, direction)
        if isinstance(frame, (EndFrame, CancelFrame)):
            await self._halt()
        await self.push_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame) and direction is FrameDirection.DOWNSTREAM:
            await self._press(frame.button.value)

    async def cleanup(self) -> None:
        """Nothing is waited for any more."""
        await super().cleanup()
        await self._halt()

    async def _press(self, key: str) -> None:
        if self._interrupts and not self._entry.begun:
            await self.broadcast_interruption()
        entry = self._entry.press(key, self._now())
        if entry:
            await self._tell(entry)
        elif self._waiter is None:
            self._waiter = self.create_task(self._wait(), "keys::timeout")

    async def _wait(self) -> None:
        """Until the entry is complete: keys that come meanwhile move its deadline."""
        while (deadline := self._entry.deadline) is not None:
            await asyncio.sleep(max(0.0, deadline - self._now()))
            if entry := self._entry.tick(self._now()):
                await self._tell(entry)
        self._waiter = None

    async def _tell(self, entry: str) -> None:
        await self.push_frame(
            TranscriptionFrame(f"{self._prefix}{entry}", "", time_now_iso8601(), finalized=True)
        )

    async def _halt(self) -> None:
        self._entry.take()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            await self.cancel_task(waiter)

    def _now(self) -> float:
        return self.get_event_loop().time()
