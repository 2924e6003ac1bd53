"""What start strategies have in common that keep a caller's words, and begin a turn with them later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from piopiy_pipeline.turns.kept_words import KeptWords

__all__ = ["KeptTurnStart"]


class KeptTurnStart(BaseUserTurnStartStrategy):
    """Keeps words outside of turns, looks at them when its timer is over, and can begin a turn with them.

    Args:
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hear: Callable[[Frame], Awaitable[None]] | None = None
        """Has the user's side of the conversation hear a transcript that was kept."""
        self._kept = KeptWords()
        self._in_turn = False
        self._timer: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None

    async def handle_user_turn_started(self) -> None:
        self._in_turn = True

    async def handle_user_turn_stopped(self) -> None:
        self._in_turn = False

    async def cleanup(self) -> None:
        await super().cleanup()
        self._clear_timer()
        self._kept.clear()
        task, self._starting = self._starting, None
        if task is not None and not task.done():
            await self.task_manager.cancel_task(task)

    def _look(self) -> None:
        """The timer is over: see whether it is time for the turn."""
        raise NotImplementedError

    async def _start(self) -> None:
        """Begin the turn, and have what was kept heard in it."""
        self._clear_timer()
        kept = self._kept.taken()
        await self.trigger_user_turn_started()
        await self._hear(kept)

    async def _hear(self, kept: TranscriptionFrame | None) -> None:
        if kept is not None and self.hear is not None:
            await self.hear(kept)

    def _start_soon(self) -> None:
        """Begin the turn in a task of its own, when the other strategies have seen the frame under way."""
        if self._starting is None or self._starting.done():
            self._starting = self.task_manager.create_task(self._start_now(), f"{self}::turn")

    async def _start_now(self) -> None:
        if not self._in_turn:
            await self._start()

    def _set_timer(self, seconds: float) -> None:
        self._clear_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_over)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_over(self) -> None:
        self._timer = None
        self._look()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
