"""What the gateways of a cluster say to each other, as models that forbid unknown keys.

Each stands under a subject that begins with the protocol's version (`ClusterDirectory`), so that gateways of two
versions that do not understand each other do not hear each other either.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from piopiy_pipeline.gateway.cluster.console_messages import SendCalls, WatchCall, WatchedReport
from piopiy_pipeline.signaling.json_messages import Message
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied

__all__ = [
    "AgentPlaces",
    "DirectoryAnswer",
    "DirectorySearch",
    "GatewayNotice",
    "GatewayPresence",
    "InstanceNews",
    "NotComing",
    "PlacesWanted",
]

_CallId = Annotated[str, Field(min_length=1, max_length=64)]
_AgentId = Annotated[str, Field(min_length=1, max_length=128)]
_InstanceId = Annotated[str, Field(min_length=1, max_length=128)]
_Count = Annotated[int, Field(ge=0)]


class DirectorySearch(Message):
    """Asks a gateway at which instances of an agent have free places to send one of them to the gateway at `url`.

    `ticket` is what the instance shows there. `without` are those that were asked before. With `takeover`, another
    instance has lost the call, or gives it back; with `apart`, only a call worker that is apart from others may come;
    with `most_busy`, only an instance that is no busier.
    """

    call_id: _CallId
    agent_id: _AgentId
    gateway: str
    url: str
    ticket: str
    deadline_ms: Annotated[int, Field(gt=0)]
    without: list[_InstanceId] = Field(default_factory=list)
    takeover: bool = False
    apart: bool = False
    most_busy: Annotated[float, Field(ge=0, le=1)] | None = None


class DirectoryAnswer(Message):
    """The answer: the instance that was sent. None: no instance there has a place after all."""

    gateway: str
    instance_id: _InstanceId | None = None


class NotComing(Message):
    """Says that an instance that was sent does not come: it did not reach the gateway, or had no place after all."""

    call_id: _CallId
    instance_id: _InstanceId
    detail: str = ""


class AgentPlaces(Message):
    """The instances of one agent that are at home at a gateway: how many, their calls, their places for new ones."""

    instances: _Count
    active: _Count
    places: _Count


class GatewayPresence(Message):
    """Says every now and then that a gateway is there, and what it has.

    `number` is that of the list of its agents, and `agents` are those that have changed since the number `since`; None:
    these are all. `hello` asks all others to say what they have.
    """

    gateway: str
    url: str
    version: str = ""
    calls: _Count = 0
    number: _Count = 0
    since: _Count | None = None
    agents: dict[_AgentId, AgentPlaces] = Field(default_factory=dict)
    watching: bool = False
    """Whether somebody looks at all calls there, so that it is told of them."""
    hello: bool = False
    leaving: bool = False


class PlacesWanted(Message):
    """Asks another gateway for its `GatewayPresence` with all of its agents."""

    gateway: str


class InstanceNews(Message):
    """Says that an instance that is at home at another gateway has died, or that its event loop is blocked."""

    agent_id: _AgentId
    died: InstanceDied | None = None
    blocked: Blocked | None = None


class GatewayNotice(Message):
    """What one gateway says to another one, without an answer."""

    notice: NotComing | InstanceNews | PlacesWanted | GatewayPresence | SendCalls | WatchCall | WatchedReport
