"""`LateCheckpoints`: checkpoints that wait while much is on its way to the gateway already.

A connection is given up when four megabytes wait to be sent, and a checkpoint may have one: a model that uses a handful
of tools at once in a long conversation, or a slow network, would cost all calls of the agent their connection. Of each
call only the newest checkpoint waits, because it replaces the ones before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.signaling.messages import Checkpoint

__all__ = ["FULL_BYTES", "LOOK_AGAIN_S", "LateCheckpoints"]

FULL_BYTES = 512 << 10
"""If more bytes than this wait to be sent, checkpoints wait. With one more of them it is far below the limit of four
megabytes: `signaling.websocket.TEXT_LIMIT_BYTES`."""
LOOK_AGAIN_S = 0.02


class LateCheckpoints:
    """The checkpoints of all calls on their way to one connection.

    Args:
        send: Sends a checkpoint now.
        waiting_bytes: Returns how many bytes wait to be sent; 0 if there is no connection.
    """

    def __init__(self, send: Callable[[Checkpoint], None], waiting_bytes: Callable[[], int]) -> None:
        self._send = send
        self._waiting_bytes = waiting_bytes
        self._late: dict[str, Checkpoint] = {}  # by call
        self._timer: asyncio.TimerHandle | None = None

    def post(self, checkpoint: Checkpoint) -> None:
        """Send a checkpoint, now or as soon as there is room."""
        if not self._late and self._waiting_bytes() <= FULL_BYTES:
            self._send(checkpoint)
            return
        before = self._late.pop(checkpoint.call_id, None)
        if checkpoint.number is None and before is not None and before.number is not None:
            checkpoint = checkpoint.model_copy(update={"number": before.number})  # it confirms that one, too
        self._late[checkpoint.call_id] = checkpoint
        self._look_again()

    def forget(self) -> None:
        """Send nothing of what waits, because the connection is gone."""
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        if self._timer is None and self._late:
            self._timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        while self._late and self._waiting_bytes() <= FULL_BYTES:
            self._send(self._late.pop(next(iter(self._late))))
        self._look_again()
