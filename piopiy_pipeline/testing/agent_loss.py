"""`AgentLoss`: when a simulated call loses its agent, as if the process were killed at that moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from piopiy_pipeline.arguments import check_count, check_kind, check_seconds
from piopiy_pipeline.testing.report.call_events import check_event_kind

__all__ = ["MAX_LOSSES", "AgentLoss", "check_losses"]

MAX_LOSSES = 3
"""A gateway finds so many other instances for one call. Who loses a fourth is more likely the cause than the victim."""


@dataclass(frozen=True, slots=True)
class AgentLoss:
    """The agent is lost a while after something has happened in the call, and another one goes on with the call.

    The other one knows what the gateway has: the last checkpoint, and what was heard of the bot's turn. What the lost
    one had sent ahead is not played any more, and whatever it was doing is cancelled where it stood.

        simulate(bot, caller, losses=[AgentLoss("tool", after_s=0.2)])      # while a tool runs
        simulate(bot, caller, losses=[AgentLoss("answered", after_s=12)])   # at a time of the call

    Attributes:
        event: What happens first: a kind of `Event`.
        after_s: How much later the agent is lost, in seconds.
        number: Which event of that kind counts, from 1 on, of the whole call.

    Raises:
        TypeError: Something is of another type.
        ValueError: Something is out of range, or there is no such event.
    """

    event: str = "answered"
    after_s: float = 0.0
    number: int = 1

    def __post_init__(self) -> None:
        check_kind("AgentLoss: event", self.event, str, "the kind of an event")
        check_event_kind("AgentLoss: event", self.event)
        check_seconds("AgentLoss: after_s", self.after_s, zero=True)
        check_count("AgentLoss: number", self.number)


def check_losses(losses: Sequence[AgentLoss]) -> None:
    """Check the losses of one call.

    Raises:
        TypeError: One of them is no `AgentLoss`.
        ValueError: There are more than a gateway would find agents for.
    """
    check_kind("losses", losses, Sequence, "a list of AgentLoss")
    for loss in losses:
        check_kind("losses", loss, AgentLoss, "a list of AgentLoss")
    if len(losses) > MAX_LOSSES:
        raise ValueError(
            f"losses: {len(losses)} are too many: a gateway ends a call that has lost more than {MAX_LOSSES} agents"
        )
