"""What the gateway hears, or does not hear, of instances that are silent, late or blocked."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.signaling.messages import Blocked, Ended, Heartbeat
from tests.support.switchboard import NotedAgent, Room

__all__ = ["blocked", "culprit_and_other", "ended", "heartbeat", "silent"]


def silent(agent: NotedAgent) -> None:
    """Let the gateway notice that nothing is heard of it."""
    agent.room.board.silences.silent(agent.instance, "nothing was heard of it for 1.0 s", agent.room.now)


def heartbeat(agent: NotedAgent, times: int = 1, **media: tuple[int, int]) -> None:
    for _ in range(times):
        agent.say(Heartbeat(media={name.replace("_", "-"): counts for name, counts in media.items()}))


def blocked(
    agent: NotedAgent,
    call_id: str | None,
    *,
    blocked_s: float = 0.4,
    limit_s: float = 10.0,
    slow: bool = False,
) -> None:
    message = Blocked(
        agent_id="desk",
        instance_id=agent.instance.instance_id,
        call_id=call_id,
        place="bot.py:12 in look_up",
        blocked_s=blocked_s,
        limit_s=limit_s,
        slow=slow,
    )
    agent.room.board.silences.blocked(message, agent.room.now)


def ended(agent: NotedAgent) -> list[tuple[str, EndReason]]:
    return [(message.call_id, message.reason) for message in agent.sent if isinstance(message, Ended)]


# ---------------------------------------------------------------------- blocked by a call


def culprit_and_other(room: Room) -> tuple[NotedAgent, NotedAgent, Any, Any]:
    """Two calls with one instance, another that is free, and the legs of both calls."""
    one = room.agent("one")
    heartbeat(one)
    legs = []
    for _ in range(2):
        legs.append(room.call()[1])
        one.take()
    culprit, other = legs
    return one, room.agent("two"), culprit, other
