"""What of a call survives the loss of its agent: the conversation, `call.state`, and how to save both.

`Call` is made of it. The gateway keeps it (`Checkpoints`), and another instance goes on with it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.checkpoints import SAVE_S
from piopiy_pipeline.session.collected_values import CollectedValues
from piopiy_pipeline.session.saves import PAUSE_S

__all__ = ["SurvivingState"]


class SurvivingState:
    """The part of one call that another instance would go on with.

    Args:
        state: The call.
    """

    _state: CallState

    @property
    def state(self) -> dict[str, Any]:
        """The author's own JSON. It is saved with the conversation at the end of each turn, before a tool runs, when it
        has returned, and by `save()`.

        If another instance of the agent had this call before and was lost, it is what that instance left
        there. Keep it small: a checkpoint is at most 900,000 bytes, the conversation included.
        """
        return self._state.author_state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state.author_state = state

    @property
    def resumed(self) -> list[dict[str, Any]] | None:
        """The conversation so far, if another instance of the agent had this call before and was lost.

        Messages of pipecat's `LLMContext`. A tool that was running then has a result that says that it may have run,
        and what was heard of a turn that was cut off comes last, with a note. Empty if the call was answered there, and
        nobody was heard: a bot greets then, and does not do again what it does once a call. None in any other call, and
        where the other instance left nothing that this one understands.
        """
        return self._state.checkpoints.conversation

    @property
    def collected(self) -> CollectedValues:
        """What was collected of the caller. It is `collect`'s to use."""
        return self._state.collected

    @property
    def waits_for_answer(self) -> bool:
        """Whether the conversation in `resumed` ends with what the model has to answer: have it `respond()`.

        False while a tool is run again: the model answers its result.
        """
        checkpoints = self._state.checkpoints
        return checkpoints.owes_answer and not checkpoints.journal.repeated

    async def until_answered(self) -> None:
        """Return when the call is answered, or over."""
        answered = asyncio.Event()
        off = [self._state.events.on(event, lambda _: answered.set()) for event in ("answered", "end")]
        try:
            if self._state.answered_at is None and not self._state.ended:
                await answered.wait()
        finally:
            for remove in off:
                remove()

    async def save(self, *, timeout_s: float = SAVE_S) -> bool:
        """Save `state` and the conversation now, and wait until the gateway has them. Saves at the same time share one
        message, and there are 10 a second at most: one that comes sooner waits.

        Args:
            timeout_s: How long to wait for the gateway, in seconds.

        Returns:
            Whether the gateway has them, so that another instance would go on with them. False: it has not said so in
            time, or the call is over.

        Raises:
            ValueError: `state` or the conversation is not JSON, nests more than 100 deep, or both together are too
                long. The sentence names the value. Nothing is saved then.

        Example:
            ```python
            call.state["order"] = order_id
            if not await call.save():
                raise RuntimeError("the order is not safe yet")
            ```
        """
        if self._state.ended:
            await asyncio.sleep(PAUSE_S)  # who tries again until it works does not hold up everybody
            return False
        return await self._state.checkpoints.save(timeout_s)
