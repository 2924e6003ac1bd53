"""The requests and answers of the API that are about all gateways: what the page of all gateways is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.api.models import Model
from piopiy_pipeline.gateway.core.snapshots import Phase

__all__ = [
    "AgentHome",
    "AnsweredIn",
    "CallElsewhere",
    "ClusterCallList",
    "ClusterInfo",
    "ClusterTrends",
    "DrainOrder",
    "DrainedAgents",
    "GatewayInfo",
    "TrendCounts",
]


class GatewayInfo(Model):
    """A gateway. One that was killed or cut off is ``lost`` for ten minutes.

    What is None is not known: of another gateway until it has told how it is (`ClusterInfo.whole`).
    """

    gateway: str
    here: bool
    """Whether it is the one that answers."""
    state: Literal["serving", "draining", "lost"]
    heard_s: float
    """How many seconds ago it was heard last."""
    url: str
    """Where agents reach it."""
    version: str
    started_at: float | None
    """In Unix time in seconds."""
    calls: int
    max_calls: int | None
    busy: float | None
    """The share of one processor that its process uses."""
    dials: bool
    """Whether it can call telephones."""
    problems: list[str]


class AgentHome(Model):
    """The instances of an agent that are at home at one gateway."""

    agent_id: str
    gateway: str
    instances: int
    active: int
    """Their calls, at whichever gateway."""
    capacity: int
    draining: int = 0
    """How many take no new calls, because they end, or an operator wants it so."""
    held_back: int = 0
    """How many of these an operator has drained."""
    silent: int = 0
    overloaded: int = 0
    busy: float | None = None
    """The share of its time in which the event loop of an instance works, the mean of those that say it."""
    versions: list[str] = Field(default_factory=list)


class ClusterInfo(Model):
    """All gateways, as far as this one knows, and the agents that are at home at them."""

    gateway: str
    """The one that answers."""
    clustered: bool
    problem: str
    """Why this gateway does not know of the others just now, a sentence; empty if it does."""
    whole: bool
    """Whether all others have told how they are: of one that has not, only what it says every two seconds is known."""
    gateways: list[GatewayInfo]
    agents: list[AgentHome]
    configured: list[str]
    """The agents of this gateway's configuration: they may have no instance anywhere."""


class CallElsewhere(Model):
    """A call under way at any gateway. Times are Unix time in seconds."""

    gateway: str
    call_id: str
    agent_id: str
    instance_id: str | None
    kind: CallKind
    phase: Phase
    from_number: str | None
    to_number: str | None
    placed_at: float
    answered_at: float | None
    held: bool
    muted: bool


class ClusterCallList(Model):
    """The calls under way at all gateways, the latest first."""

    calls: list[CallElsewhere]
    total: int
    """How many there are: the list has some of them."""
    whole: bool
    """Whether all gateways have told their calls: just after the first question they have not."""


class AnsweredIn(Model):
    """Voice-to-voice: from the end of what callers said to the beginning of the answers, in seconds."""

    answers: int
    p50_s: float | None
    p95_s: float | None


class TrendCounts(Model):
    """Ten minutes: `at` is when they begin, in Unix time in seconds."""

    at: int
    placed: int
    most: int
    """The most calls at a time; of several gateways the sum of what each had at most."""
    ended: dict[str, int]
    """Calls that ended, by the reason."""
    errors: int
    voice_to_voice: AnsweredIn
    buckets: list[int]
    """Answers between the bounds of `ClusterTrends.bounds_s`."""


class ClusterTrends(Model):
    """What happened at all gateways since they were started, at most within a day."""

    bucket_s: int
    bounds_s: list[float]
    gateways: list[str]
    """Whose numbers are in it."""
    missing: list[str]
    """The gateways that did not answer."""
    counts: list[TrendCounts]
    """Ten minutes each, the oldest first. Those in which nothing happened are left out."""


class DrainState(Model):
    """Whether a gateway drains, and what it waits for."""

    draining: bool
    calls: int
    """Calls under way."""


class DrainOrder(Model):
    """Asks for instances of an agent to take no new calls, or to take them again. Calls in progress go on."""

    on: bool = True
    instance_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Which instance, or whose call workers. None: all that are connected."""


class DrainedAgents(Model):
    """What became of a `DrainOrder` at one gateway."""

    gateway: str
    instances: list[str]
    active: int
    """The calls that they have still."""
