"""The stages of a pipeline whose model hears and speaks itself, and the turn strategies of its context."""

from __future__ import annotations

from typing import Literal

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import BaseTransport
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.services.realtime_services import detects_turns, has_known_protocol, leave_turns_to_us
from piopiy_pipeline.services.text_answers import answer_in_text
from piopiy_pipeline.stage_error import StageError
from piopiy_pipeline.turns.kept_turn_start import KeptTurnStart
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns, realtime_turns
from piopiy_pipeline.turns.strategies import Interruption
from piopiy_pipeline.turns.turn_ends import Turns

__all__ = ["realtime_stages"]

STOP_TIMEOUT_S = 3.0
"""A turn ends after so many seconds without voice, if no strategy has ended it."""
PROVIDER_STOP_S = 6.0
"""The same where the provider ends turns, which may think for longer."""


def realtime_stages(
    transport: BaseTransport,
    *,
    llm: FrameProcessor,
    context: LLMContext,
    vad: FrameProcessor | None,
    stt: FrameProcessor | None = None,
    tts: FrameProcessor | None = None,
    turns: Turns | Literal["provider"] | None,
    interruption: Interruption | None,
) -> tuple[list[tuple[str, FrameProcessor]], RealtimeTurns | None]:
    """Return the stages by name, and who decides on turns; None for strategies of the author's.

    Args:
        transport: The transport of the call.
        llm: The model's service.
        context: The conversation.
        vad: The VAD stage; None: there is none.
        stt: Writes down what the caller says; None: the provider does.
        tts: Says what the model writes; None: the model speaks itself.
        turns: When the caller's turn ends, or that the provider says so.
        interruption: What a sound over the bot's speech does.

    Raises:
        StageError: Nothing is known of the provider's protocol.
        ValueError: A value cannot work.
    """
    if not has_known_protocol(llm):
        raise StageError(
            f"{type(llm).__name__} cannot be told yet what to say, and what was heard: use OpenAI's realtime "
            "service, one of the same protocol, Gemini Live, Ultravox or Nova Sonic from its second generation on; or "
            "put it into a chain of your own",
            "llm",
        )
    if tts is not None:
        answer_in_text(llm)
    detects = detects_turns(llm)  # as it is set up
    provider = turns == "provider" or (turns is None and detects)
    found: RealtimeTurns | None = None
    if isinstance(turns, UserTurnStrategies):
        if interruption is not None:
            raise ValueError("give either turns or interruption: turns say when the caller's turn begins")
        strategies = turns
    else:
        if not provider:
            leave_turns_to_us(llm)
        elif not detects:
            raise ValueError(
                f"turns='provider': {type(llm).__name__} detects no turns, as it is set up: leave turns out, "
                "and this side detects them"
            )
        found = realtime_turns(
            llm,
            provider=provider,
            turns=None if turns == "provider" else turns,
            interruption=interruption,
            output=transport.output(),
            vad=vad,
            context=context,
            stt=stt,
            may_detect=detects,
        )
        strategies = found.strategies
    params = LLMUserAggregatorParams(
        user_turn_strategies=strategies,
        user_turn_stop_timeout=PROVIDER_STOP_S if provider else STOP_TIMEOUT_S,
    )
    user, assistant = LLMContextAggregatorPair(context, user_params=params, realtime_service_mode=True)
    for start in strategies.start or []:
        if isinstance(start, KeptTurnStart):
            start.hear = user.queue_frame
    stages: list[tuple[str, FrameProcessor]] = [("transport_in", transport.input())]
    if vad is not None:
        stages.append(("vad", vad))
    if stt is not None:
        stages.append(("stt", stt))
    stages += [("user_context", user), ("llm", llm)]
    if tts is not None:
        stages.append(("tts", tts))
    stages += [("transport_out", transport.output()), ("assistant_context", assistant)]
    return stages, found
