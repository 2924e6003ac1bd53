"""What the gateways of a cluster say to each other: `ClusterMessage`, which may have keys that are not known yet.

Each stands under a subject that begins with the protocol's version (`ClusterDirectory`), so that gateways of two
versions that do not understand each other do not hear each other either; but for `GatewayPresence`, which is heard in
every version, so that operators are told (`OtherVersion`): it keeps its subject, `gateway`, `version` and `leaving`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from piopiy_pipeline.gateway.cluster.cluster_message import ClusterMessage
from piopiy_pipeline.gateway.cluster.console_messages import SendCalls, WatchCall, WatchedReport
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied

__all__ = [
    "PROTOCOL",
    "AgentPlaces",
    "DirectoryAnswer",
    "DirectorySearch",
    "GatewayNotice",
    "GatewayPresence",
    "InstanceNews",
    "NotComing",
    "OtherVersion",
    "PlacesWanted",
]

_CallId = Annotated[str, Field(min_length=1, max_length=64)]
_AgentId = Annotated[str, Field(min_length=1, max_length=128)]
_InstanceId = Annotated[str, Field(min_length=1, max_length=128)]
_Count = Annotated[int, Field(ge=0)]

PROTOCOL = "3"
"""The version of all of this. Another one is needed when what is there changes its meaning, not for a new key."""


class DirectorySearch(ClusterMessage):
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


class DirectoryAnswer(ClusterMessage):
    """The answer: the instance that was sent. None: no instance there has a place after all."""

    gateway: str
    instance_id: _InstanceId | None = None


class NotComing(ClusterMessage):
    """Says that an instance that was sent does not come: it did not reach the gateway, or had no place after all."""

    kind: Literal["not_coming"] = "not_coming"
    call_id: _CallId
    instance_id: _InstanceId
    detail: str = ""


class AgentPlaces(ClusterMessage):
    """The instances of one agent that are at home at a gateway: how many, their calls, their places for new ones."""

    instances: _Count
    active: _Count
    places: _Count


class GatewayPresence(ClusterMessage):
    """Says every now and then that a gateway is there, and what it has.

    `number` is that of the list of its agents, and `agents` are those that have changed since the number `since`; None:
    these are all. `hello` asks all others to say what they have. `process` is chosen anew with every start. `keys` has
    digests of what all gateways should have alike, by what it is called, and `sent_at` is Unix time in seconds.
    """

    kind: Literal["presence"] = "presence"
    gateway: str
    process: Annotated[str, Field(max_length=64)] = ""
    keys: dict[str, Annotated[str, Field(max_length=64)]] = Field(default_factory=dict)
    sent_at: float = 0.0
    url: str
    version: str = ""
    calls: _Count = 0
    records: str = ""
    """The name with which its calls are marked in a database that gateways may share. Empty: it keeps none."""
    number: _Count = 0
    since: _Count | None = None
    agents: dict[_AgentId, AgentPlaces] = Field(default_factory=dict)
    watching: bool = False
    """Whether somebody looks at all calls there, so that it is told of them."""
    hello: bool = False
    leaving: bool = False


class OtherVersion(ClusterMessage):
    """A `GatewayPresence` of another version of the protocol, as far as it is understood. Its subject says which."""

    gateway: Annotated[str, Field(max_length=256)]
    version: Annotated[str, Field(max_length=64)] = ""
    """Of the package."""
    leaving: bool = False


class PlacesWanted(ClusterMessage):
    """Asks another gateway for its `GatewayPresence` with all of its agents."""

    kind: Literal["places_wanted"] = "places_wanted"
    gateway: str


def _known_keys(value: Any) -> Any:
    """Leave out the keys that a newer gateway may have: these two are the agents' messages, which forbid them."""
    known = InstanceDied.model_fields.keys() | Blocked.model_fields.keys()
    return {key: one for key, one in value.items() if key in known} if isinstance(value, dict) else value


class InstanceNews(ClusterMessage):
    """Says that an instance that is at home at another gateway has died, or that its event loop is blocked."""

    kind: Literal["instance_news"] = "instance_news"
    agent_id: _AgentId
    died: Annotated[InstanceDied | None, BeforeValidator(_known_keys)] = None
    blocked: Annotated[Blocked | None, BeforeValidator(_known_keys)] = None


class GatewayNotice(ClusterMessage):
    """What one gateway says to another one, without an answer."""

    notice: Annotated[
        NotComing | InstanceNews | PlacesWanted | GatewayPresence | SendCalls | WatchCall | WatchedReport,
        Field(discriminator="kind"),
    ]
