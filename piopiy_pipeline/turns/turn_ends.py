"""Makes pipecat's turn-stop strategies of what an author says about the end of turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.turns.policy_turn_end import PolicyTurnEnd
from piopiy_pipeline.turns.turn_end_policy import TurnEndPolicy, TurnWaits

__all__ = ["Turns", "policy_end_of", "turn_end_for"]

Turns = Literal["smart", "fast"] | float | TurnWaits | BaseUserTurnStopStrategy | UserTurnStrategies
"""When the caller's turn ends; a `float` is seconds since the last sound."""


def turn_end_for(
    turns: Turns | None, vad: FrameProcessor | None, stt: FrameProcessor, context: LLMContext
) -> BaseUserTurnStopStrategy:
    """Return the stop strategy of a pipeline.

    Args:
        turns: What the author says, but for whole strategies; None for the default, ``"smart"``.
        vad: The VAD stage, if there is one. A `VadStage` is asked whether a sound is under way.
        stt: The STT, which knows the language until a transcript tells it.
        context: The conversation.

    Raises:
        ValueError: There are no such turns.
    """
    if isinstance(turns, BaseUserTurnStopStrategy):
        return turns
    assert not isinstance(turns, UserTurnStrategies)
    policy = TurnEndPolicy(TurnWaits.of(turns), language=_language_of(stt))
    if isinstance(vad, VadStage):
        judge = _smart_turn_of(vad) if policy.waits.smart_turn else None
        sounding = lambda: not (vad.quiet or vad.speaking)  # noqa: E731
        return PolicyTurnEnd(
            policy, context=context, sounding=sounding, crowded=lambda: vad.crowded, judge=judge
        )
    if policy.waits.smart_turn:
        raise ValueError("TurnWaits(smart_turn=True) needs the pipeline's own VAD stage: leave vad= out")
    return PolicyTurnEnd(policy, context=context)


def _smart_turn_of(vad: VadStage) -> Callable[[], asyncio.Future[float]]:
    """Return what asks the process's smart-turn about what the VAD stage has heard last."""
    from piopiy_pipeline.processors.smart_turn_engine import RecentAudio, shared_smart_turn

    engine, recent = shared_smart_turn(), RecentAudio()
    vad.listener = recent.add
    return lambda: engine.judge(recent.last(), vad.processor_setup.audio_in_sample_rate)


def _language_of(stt: FrameProcessor) -> str:
    settings = getattr(getattr(stt, "active", stt), "settings", None)
    language = getattr(settings, "language", None)
    return str(language) if isinstance(language, str) and language else "en"


def policy_end_of(strategies: UserTurnStrategies) -> PolicyTurnEnd | None:
    """Return the strategy among these that follows a `TurnEndPolicy`, if there is one."""
    return next((one for one in strategies.stop or [] if isinstance(one, PolicyTurnEnd)), None)
