"""When a turn begins and ends that is typed: a message is a whole turn."""

from __future__ import annotations

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import ExternalUserTurnStartStrategy, TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy
from pipecat.turns.user_stop.base_user_turn_stop_strategy import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

__all__ = ["TypedTurnEnd", "typed_turns", "written_turns"]


class TypedTurnEnd(BaseUserTurnStopStrategy):
    """Ends the turn with each message: nobody waits for more words."""

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """End the turn if this frame is what was typed."""
        if not isinstance(frame, TranscriptionFrame) or not frame.text.strip():
            return ProcessFrameResult.CONTINUE
        await self.trigger_user_turn_stopped()
        return ProcessFrameResult.STOP


def typed_turns() -> UserTurnStrategies:
    """Return pipecat's strategies of a text chat. Who queues a message has interrupted the bot before."""
    start = TranscriptionUserTurnStartStrategy(use_interim=False, enable_interruptions=False)
    return UserTurnStrategies(start=[start], stop=[TypedTurnEnd()])


def written_turns() -> UserTurnStrategies:
    """Return those of a text chat with a speech-to-speech model, into whose conversation each message is written.

    Nothing begins or ends a turn there.
    """
    return UserTurnStrategies(
        start=[ExternalUserTurnStartStrategy()],
        stop=[ExternalUserTurnStopStrategy(wait_for_transcript=False)],
    )
