"""Makes pipecat's turn strategies of what an author says about turns and interruptions."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import (
    BaseUserTurnStartStrategy,
    ExternalUserTurnStartStrategy,
    TranscriptionUserTurnStartStrategy,
    VADUserTurnStartStrategy,
)
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.held_turn_start import HeldTurnStart
from piopiy_pipeline.turns.turn_after_bot import TurnAfterBot
from piopiy_pipeline.turns.words_without_turn import WordsWithoutTurn

__all__ = ["Interruption", "default_turns", "heard_in_any_case", "interruption_of", "turns_for"]

Interruption = Literal["held", "immediate", "never"] | int | BargeInPolicy | BaseUserTurnStartStrategy
"""What a sound of the caller over the bot's speech does; an `int` is a number of words."""


def default_turns(*, interruptions: bool = True, vad: bool = True) -> UserTurnStrategies:
    """Return turn strategies by which any speech of the caller begins a turn at once.

    The turn begins with speech, or with the transcript of speech that the VAD missed. It ends 0.6 s
    after the VAD's end of speech, when the transcript is there. No model is loaded for it.

    Args:
        interruptions: Whether a turn of the caller cuts the bot off.
        vad: Whether the pipeline has a VAD stage.
    """
    starts: list[Any] = [TranscriptionUserTurnStartStrategy(enable_interruptions=interruptions)]
    if vad:
        starts.insert(0, VADUserTurnStartStrategy(enable_interruptions=interruptions))
    return UserTurnStrategies(start=starts, stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)])


def interruption_of(
    interruption: Interruption | None, allow_interruptions: bool, strategy: Any
) -> Interruption | None:
    """Return what an author says about interruptions, of the three arguments in which it can be said.

    Args:
        interruption: One of `Interruption`; None for the default.
        allow_interruptions: Whether the caller can cut the bot off.
        strategy: A start strategy, an object with `min_words`, or None.

    Raises:
        ValueError: They say different things.
        TypeError: The strategy is none.
    """
    if strategy is not None:
        if not allow_interruptions:
            raise ValueError(
                "interruption_strategy says how to cut in, and allow_interruptions=False that nobody can"
            )
        if interruption is not None:
            raise ValueError("give either interruption or interruption_strategy")
        if isinstance(strategy, BaseUserTurnStartStrategy):
            return strategy
        words = getattr(strategy, "min_words", None)
        if isinstance(words, int):
            return words
        raise TypeError(
            "interruption_strategy must be a pipecat user-turn start strategy, or have min_words: "
            f"{shown(strategy)} is neither"
        )
    if allow_interruptions:
        return interruption
    if interruption not in (None, "never"):
        raise ValueError(
            f"interruption={shown(interruption)}, and allow_interruptions=False: give one of the two"
        )
    return "never"


def turns_for(
    interruption: Interruption | None, output: FrameProcessor, vad: FrameProcessor | None
) -> UserTurnStrategies:
    """Return the turn strategies of a pipeline.

    Args:
        interruption: What a sound over the bot's speech does; None for the default, ``"held"``. Where speech
            cannot be held (an older gateway, or an output of another kind), that is ``"immediate"``.
        output: The stage that speaks.
        vad: The VAD stage, if there is one. A `VadStage` is asked for its windows.

    Raises:
        ValueError: There is no such interruption.
        TypeError: It is of no kind that there is.
    """
    has_vad = vad is not None
    stop = default_turns().stop
    spared = TurnAfterBot(output, vad=False, spared=True)
    immediate = default_turns(vad=has_vad)
    immediate.start = [TurnAfterBot(output, vad=has_vad, spared=True), *(immediate.start or [])]
    match interruption:
        case None | "held" | BargeInPolicy():
            if not isinstance(output, BotOutput) or not output.can_hold:
                return immediate
            policy = interruption if isinstance(interruption, BargeInPolicy) else None
            held = HeldTurnStart(output, policy)
            if isinstance(vad, VadStage):
                vad.watcher = held.on_window
            return UserTurnStrategies(start=[spared, held], stop=stop)
        case "immediate":
            return immediate
        case "never":
            return UserTurnStrategies(start=[TurnAfterBot(output, vad=has_vad)], stop=stop)
        case bool() | str():
            raise ValueError(
                f"interruption={shown(interruption)}: it is 'held', 'immediate', 'never', a number of words, "
                "a BargeInPolicy or a pipecat user-turn start strategy"
            )
        case int(words):
            if words < 1:
                raise ValueError(f"interruption={words}: it takes one word at least to cut in")
            return UserTurnStrategies(start=[TurnAfterBot(output, words=words, vad=False)], stop=stop)
        case BaseUserTurnStartStrategy():
            return UserTurnStrategies(start=[spared, interruption], stop=stop)
    raise TypeError(
        "interruption must be 'held', 'immediate', 'never', a number of words, a BargeInPolicy or a pipecat "
        f"user-turn start strategy, not {shown(interruption)}"
    )


def heard_in_any_case(strategies: UserTurnStrategies, stt: FrameProcessor) -> UserTurnStrategies:
    """Return an author's strategies, as a copy. If only turn events of the STT begin a turn, words of which it
    tells no turn are one, too.

    Args:
        strategies: What the author says.
        stt: The STT.
    """
    given = copy(strategies)
    if given.start and all(isinstance(one, ExternalUserTurnStartStrategy) for one in given.start):
        given.start = [*given.start, WordsWithoutTurn(type(stt).__name__)]
    return given
