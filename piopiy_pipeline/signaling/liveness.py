"""What gateway and agent say to each other so that each knows that the other is alive, and its calls with it.

A gateway names what it takes beyond the first version of signaling in a header of its answer to the WebSocket's request
(`SIGNALING_FEATURES_HEADER`). To a gateway without it an agent sends none of these, because it would end the
connection over them; and a gateway sends them to no agent that has not sent one first.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from piopiy_pipeline.signaling.json_messages import Message

__all__ = [
    "HEARTBEAT_S",
    "SIGNALING_FEATURES",
    "SIGNALING_FEATURES_HEADER",
    "Blocked",
    "Heartbeat",
    "MediaCount",
    "confirms_checkpoints",
    "counts_usage",
    "knows_call_workers",
    "knows_load",
    "lets_roam",
    "moves_calls",
    "takes_heartbeats",
    "takes_steps",
    "unknown_part",
]

SIGNALING_FEATURES_HEADER = "Piopiy-Signaling-Features"
"""The header in which a gateway names what its signaling can do, as words between commas."""
SIGNALING_FEATURES = "liveness, checkpoints, moves, call-workers, load, roaming, usage, steps, clean-sound"
"""What today's gateway can do: ``liveness`` is `Heartbeat` and `Blocked`, ``checkpoints`` that it confirms those that
have a number, ``moves`` is `Move` and the end reason ``drained``, ``call-workers`` is `InstanceDied` and what kind of
call worker registers, ``load`` is that of a `Status`, ``roaming`` is what stands in `roaming`,
``usage`` is the event ``usage`` of a `ConversationEvent`, ``steps`` are its events ``flow``, ``hand_off``,
``collection``, ``summary`` and ``language``, ``clean-sound`` is that of a `Control`.
"""
NEWER = {
    "heartbeat": "liveness",
    "blocked": "liveness",
    "move": "moves",
    "instance_died": "call-workers",
    "roaming": "roaming",
    "roam_result": "roaming",
    "control.clean_sound": "clean-sound",
    "event.user_backchannel": "liveness",
    "event.barge_in": "liveness",
    "event.eager_dropped": "liveness",
    "event.usage": "usage",
    "event.flow": "steps",
    "event.hand_off": "steps",
    "event.collection": "steps",
    "event.summary": "steps",
    "event.language": "steps",
}
"""What is newer than the first version of signaling, as the type of a message, or with what it switches or which event
it is; and the feature of a gateway that can read it."""
HEARTBEAT_S = 0.25
"""Seconds between two heartbeats, in both directions."""

_Bytes = Annotated[int, Field(ge=0)]
MediaCount = tuple[_Bytes, _Bytes]
"""How far a call's media stream has come at the agent: bytes of audio that it received, and that it sent."""


def unknown_part(message: Message, features: str | None) -> str:
    """Return what of an agent's message a gateway is too old to read: it would end the connection over it, and with it
    all calls of the agent. Empty: it can read the message.

    Args:
        message: The message.
        features: The value of the gateway's header; None if there is none.
    """
    kind = getattr(message, "type", "")
    for name in (kind, f"{kind}.{getattr(message, 'event', getattr(message, 'what', ''))}"):
        if (feature := NEWER.get(name)) is not None and not _has(features, feature):
            return name
    return ""


def takes_heartbeats(features: str | None) -> bool:
    """Return whether a gateway takes `Heartbeat` and `Blocked`, by the value of its header; None if there is none."""
    return _has(features, "liveness")


def confirms_checkpoints(features: str | None) -> bool:
    """Return whether a gateway confirms checkpoints, by the value of its header; None if there is none."""
    return _has(features, "checkpoints")


def moves_calls(features: str | None) -> bool:
    """Return whether a gateway moves calls when it is asked to, by the value of its header; None if there is none."""
    return _has(features, "moves")


def knows_call_workers(features: str | None) -> bool:
    """Return whether a gateway knows call workers apart, by the value of its header; None if there is none."""
    return _has(features, "call-workers")


def knows_load(features: str | None) -> bool:
    """Return whether a gateway knows the load of a status, by the value of its header; None if there is none."""
    return _has(features, "load")


def counts_usage(features: str | None) -> bool:
    """Return whether a gateway takes events ``usage``, by the value of its header; None if there is none."""
    return _has(features, "usage")


def takes_steps(features: str | None) -> bool:
    """Return whether a gateway takes events ``flow``, ``hand_off``, ``collection``, ``summary`` and ``language``, by
    the value of its header; None if there is none.
    """
    return _has(features, "steps")


def lets_roam(features: str | None) -> bool:
    """Return whether a gateway may send instances to others, by the value of its header; None if there is none."""
    return _has(features, "roaming")


def _has(features: str | None, what: str) -> bool:
    return what in [word.strip() for word in (features or "").split(",")]


class Heartbeat(Message):
    """Says that the event loop of the sender turns. Each side sends one every `HEARTBEAT_S`.

    `media` is of agents: how far the media stream of each of its calls has come, by the call's id.
    """

    type: Literal["heartbeat"] = "heartbeat"
    media: dict[str, MediaCount] = Field(default_factory=dict)


WATCHDOG_QUERY = "for=watchdog"
"""The query of ``/agent`` with which a watchdog connects: such a connection may not register."""


class Blocked(Message):
    """Says that the event loop of an agent has not turned for `blocked_s`. Its watchdog, a thread, sends it.

    It comes over a connection of its own, on which nothing else is said, and again every half second until the loop
    turns. Time in which the loop's thread waited for a processor is not in `blocked_s`: less than 0.4 s is a suspicion,
    and comes so early that the gateway knows whom not to move when it finds the instance silent. `call_id` is the call
    whose code blocks the loop, None if that is not known; `place` is file, line and function. After `limit_s` the
    gateway ends that call; it counts from the beginning, as `blocked_s` does.

    With `slow` the loop does turn, but so slowly that its calls are of no use: heartbeats do not show that it is over.
    """

    type: Literal["blocked"] = "blocked"
    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    instance_id: Annotated[str, Field(min_length=1, max_length=128)]
    call_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    place: Annotated[str, Field(max_length=500)] = ""
    blocked_s: Annotated[float, Field(ge=0)]
    limit_s: Annotated[float, Field(gt=0)]
    slow: bool = False
