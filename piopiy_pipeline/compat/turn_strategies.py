"""Gives the user's side of a context other turn strategies, before its pipeline runs.

pipecat takes them when the aggregator is made, which is the author's to do. In a text chat they are others, whoever has
made it.
"""

from __future__ import annotations

from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.turns.user_turn_controller import UserTurnController
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["check", "use_strategies"]


def use_strategies(user: LLMUserAggregator, strategies: UserTurnStrategies) -> None:
    """Have these strategies say when the user's turns begin and end. The pipeline does not run yet."""
    user._user_turn_controller._user_turn_strategies = strategies


def check() -> None:
    """Check that the strategies are where this module puts them.

    Raises:
        CompatError: They are not.
    """
    needed = [(LLMUserAggregator, "_user_turn_controller"), (UserTurnController, "_user_turn_strategies")]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)


check()
