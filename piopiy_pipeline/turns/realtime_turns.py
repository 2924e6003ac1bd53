"""`RealtimeTurns`: who decides on the turns of a speech-to-speech model, the provider or this side.

- The provider detects turns, cuts its answer off, and begins the next one by itself.
- The provider detects turns, and leaves the rest to this side (`asks`): over the bot's speech `HeldTurnStart` says when
  a turn begins, and the answer is asked for at its end.
- This side detects turns (`own`), and pipecat's service asks for the answer at their end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import BaseUserTurnStartStrategy, TranscriptionUserTurnStartStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.services.realtime_dialects import dialect_of
from piopiy_pipeline.services.realtime_services import may_leave_answers
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.policy_turn_end import PolicyTurnEnd
from piopiy_pipeline.turns.provider_turns import ProviderTurnEnd, ProviderTurnStart, hear_no_old_words
from piopiy_pipeline.turns.strategies import Interruption, turns_for
from piopiy_pipeline.turns.turn_after_bot import TurnAfterBot
from piopiy_pipeline.turns.turn_ends import Turns, policy_end_of, turn_end_for

__all__ = ["RealtimeTurns", "realtime_turns"]

WITH_WORDS = BargeInPolicy(speech_s=1.0, words_s=1.2)
"""The provider's words of a sound over the bot's speech come behind the provider's own pause."""
BY_SOUND = BargeInPolicy(speech_s=0.6, words_s=0.25, latest_s=1.5)
"""Nobody writes down a sound over the bot's speech: its length decides."""
KEPT_S = 30.0
"""What a caller who may not interrupt says over the bot's speech is kept so long for its end, in seconds."""


@dataclass(slots=True)
class RealtimeTurns:
    """Who decides on turns, and by which strategies."""

    strategies: UserTurnStrategies
    own: bool = False
    asks: bool = False
    policy_end: PolicyTurnEnd | None = None
    provider_end: ProviderTurnEnd | None = None
    in_session: Callable[[dict[str, Any]], None] | None = None
    """Changes the settings of a session so that it does what is decided here."""
    is_old: Callable[[Frame], bool] = field(default=lambda _: True)
    """Whether a transcript is of speech that was decided on already."""


def realtime_turns(
    service: FrameProcessor,
    *,
    provider: bool,
    turns: Turns | None,
    interruption: Interruption | None,
    output: FrameProcessor,
    vad: FrameProcessor | None,
    context: LLMContext,
    stt: FrameProcessor | None = None,
    may_detect: bool = True,
) -> RealtimeTurns:
    """Return the turns of a pipeline with a speech-to-speech model.

    Args:
        service: The model's service.
        provider: Whether the provider decides when turns begin and end.
        turns: When the caller's turn ends, if this side decides.
        interruption: What a sound over the bot's speech does; None: ``"held"``.
        output: The stage that speaks.
        vad: The VAD stage, if there is one.
        context: The conversation.
        stt: Writes down what the caller says, in the place of the provider.
        may_detect: Whether the provider detects turns if it is to.

    Raises:
        ValueError: Words are to interrupt, and they come too late; or there is no such interruption; or nothing tells
            this side when the caller speaks.
    """
    if isinstance(interruption, int) and not isinstance(interruption, bool):
        raise ValueError(  # noqa: TRY004  elsewhere it is a value
            f"interruption={interruption}: a speech-to-speech model writes down words when they are over, too late to "
            "count them; say 'held', 'immediate' or 'never'"
        )
    said = (BargeInPolicy, BaseUserTurnStartStrategy, type(None))
    if not isinstance(interruption, said) and interruption not in ("held", "immediate", "never"):
        turns_for(interruption, output, vad)  # raises what is wrong with it, whoever decides
    if not provider and vad is None and stt is None:
        raise ValueError(
            f"vad=False and turns={shown(turns)}: without a VAD nothing tells when the caller speaks: leave vad out"
            + (", or let the provider detect turns (turns='provider')" if may_detect else "")
        )
    # Empty lists would have pipecat load the model of its own turn ends, which takes 40 ms of a call's start.
    if not provider:
        held = BY_SOUND if interruption in (None, "held") else interruption
        found = RealtimeTurns(turns_for(held, output, vad), own=True)
        found.strategies.stop = [turn_end_for(turns, vad, stt or service, context)]
        found.policy_end = policy_end_of(found.strategies)
        if found.policy_end is not None:
            found.policy_end.policy.needs_words = False
    else:
        # A provider that cuts its answers off by itself would cut off what must not be, too.
        asks = may_leave_answers(service) and (interruption == "never" or isinstance(output, BotOutput))
        end = ProviderTurnEnd(unclaimed_s=KEPT_S) if interruption == "never" else ProviderTurnEnd()
        starts = _provider_starts(interruption, output, vad, asks=asks)
        found = RealtimeTurns(UserTurnStrategies(start=starts, stop=[end]), asks=asks, provider_end=end)
    if (dialect := dialect_of(service)) is not None:
        found.in_session = partial(
            dialect.decide_turns, own=found.own, asks=found.asks, transcribes=stt is None
        )
    strategies: list[Any] = [*(found.strategies.start or []), *(found.strategies.stop or [])]
    for strategy in strategies:
        hear_no_old_words(strategy, lambda frame: found.is_old(frame))
    return found


def _provider_starts(
    interruption: Interruption | None, output: FrameProcessor, vad: FrameProcessor | None, *, asks: bool
) -> list[BaseUserTurnStartStrategy]:
    if not asks or not isinstance(output, BotOutput):
        return [ProviderTurnStart(lambda: False)]
    if interruption == "never":
        kept = turns_for("never", output, vad).start or []
        return [*kept, ProviderTurnStart(lambda: output.has_floor, enable_interruptions=False)]
    if isinstance(interruption, BaseUserTurnStartStrategy):
        return [
            ProviderTurnStart(lambda: output.has_floor),
            *(turns_for(interruption, output, vad).start or []),
        ]
    if interruption == "immediate" or vad is None or not output.can_hold:
        spared = TurnAfterBot(output, vad=False, spared=True)
        late = (
            TranscriptionUserTurnStartStrategy()
        )  # of speech that was begun over what must not be interrupted
        return [ProviderTurnStart(lambda: output.is_spared), spared, late]
    policy = interruption if isinstance(interruption, BargeInPolicy) else WITH_WORDS
    held = turns_for(policy, output, vad).start or []
    return [ProviderTurnStart(lambda: output.has_floor), *held]
