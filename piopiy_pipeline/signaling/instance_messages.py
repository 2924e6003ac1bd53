"""What an agent says of its instances to the gateway: that there is one, how busy it is, that one has died.

`messages` has these as well: they are part of `AgentMessage` and `GatewayMessage`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from piopiy_pipeline.signaling.json_messages import Message, without_none

__all__ = [
    "PROTOCOL_VERSION",
    "InstanceDied",
    "Load",
    "Positive",
    "Register",
    "Registered",
    "Status",
    "TakenCalls",
    "WorkerKind",
]

PROTOCOL_VERSION = 1
Positive = Annotated[int, Field(gt=0)]
WorkerKind = Literal["shared", "call", "apart"]
"""What a call worker takes: several calls; one, and ends with it; or one that was in a call worker that has died."""

TakenCalls = Literal["all", "takeovers", "none"]
"""Which calls an instance takes beside those that it has: all; those alone that another instance has lost or gives
back; or none.
"""

_InstanceId = Annotated[str, Field(min_length=1, max_length=128)]


class Register(Message):
    """The first message of an agent. Instances with the same `agent_id` share its calls.

    `worker` is of call workers, and is told to gateways that know them (`knows_call_workers`). `roaming` says that the
    instance takes calls at other gateways, too, and is told to gateways that send it there (`lets_roam`).
    """

    type: Literal["register"] = "register"
    protocol: int = PROTOCOL_VERSION
    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    instance_id: _InstanceId
    capacity: Positive
    version: str = ""
    worker: WorkerKind | None = None
    roams: bool | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_none(serialize(self), "worker", "roams")


class Registered(Message):
    """The instance is known and gets calls from now on."""

    type: Literal["registered"] = "registered"
    protocol: int = PROTOCOL_VERSION
    heartbeat_s: Annotated[float, Field(gt=0)]


class Load(Message):
    """How busy the process of an instance is, as it measured it in the last seconds."""

    busy: Annotated[float, Field(ge=0, le=1)]
    """The share of its time in which its event loop worked; or all its threads, of the processors that it may use, if
    that is more. Time in which the loop waited for a processor that others had is no time.
    """
    lag_p95_ms: Annotated[float, Field(ge=0)]
    """How late timers of its event loop are: 95% of them are not later. 0 if it is so idle that nobody looks."""
    core: Annotated[float, Field(ge=0)]
    """The CPU time of all its threads, as a share of one core."""
    takes: TakenCalls = "all"
    why: Annotated[str, Field(max_length=200)] = ""
    """Why it does not take all calls, as a sentence about it. Empty if it does."""


class Status(Message):
    """Says how busy an instance is, and whether it takes calls. It is sent whenever either changes.

    `load` is told to gateways that know it (`knows_load`). `active` counts all its calls, and `away` those of them that
    are not with the gateway that is told so.
    """

    type: Literal["status"] = "status"
    active: Annotated[int, Field(ge=0)]
    capacity: Positive
    state: Literal["serving", "draining"] = "serving"
    load: Load | None = None
    away: Annotated[int, Field(gt=0)] | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_none(serialize(self), "load", "away")


class InstanceDied(Message):
    """Says that a call worker of the same agent has died, and how. Any instance of the agent may say it; several do.

    With `hung` it has not died, but nothing of it runs, because native code keeps Python's lock: for its calls that is
    the same. It may come back.

    Which of its calls did it is not known, unless `culprit` names it. If `apart`, an instance of the kind ``apart``
    comes for each of them. `calls` are those that it had when it was decided to kill it: they may be elsewhere by now.
    """

    type: Literal["instance_died"] = "instance_died"
    instance_id: _InstanceId
    detail: Annotated[str, Field(max_length=500)] = ""
    apart: bool = False
    calls: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=1000)] = Field(
        default_factory=list
    )
    culprit: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    hung: bool = False
