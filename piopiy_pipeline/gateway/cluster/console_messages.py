"""What gateways say to each other so that the console of one shows all: their calls, and requests that are answered at
another one, as those of `directory_messages`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.cluster.cluster_message import ClusterMessage
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.json_messages import Message
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = [
    "MOST_PROBLEMS",
    "MOST_VERSIONS",
    "AgentHealth",
    "CallChanges",
    "CallEntry",
    "CallQuestion",
    "GatewayHealth",
    "RelayedAnswer",
    "RelayedRequest",
    "ReportedEvent",
    "SendCalls",
    "WatchCall",
    "WatchedReport",
]

_CallId = Annotated[str, Field(min_length=1, max_length=128)]
_Number = Annotated[str, Field(max_length=64)]
_Count = Annotated[int, Field(ge=0)]
MOST_PROBLEMS = 5
"""So many sentences on what is wrong a gateway says to the others, at most."""
MOST_VERSIONS = 4
"""So many versions of the instances of one agent are named."""


class CallEntry(ClusterMessage):
    """A call under way, as the list of all calls has it. Times are Unix time in seconds."""

    call_id: _CallId
    agent_id: str
    instance_id: str | None = None
    kind: CallKind
    phase: Phase
    from_number: _Number | None = None
    to_number: _Number | None = None
    placed_at: float
    answered_at: float | None = None
    held: bool = False
    muted: bool = False


class AgentHealth(ClusterMessage):
    """How the instances of one agent are that are at home at a gateway."""

    instances: _Count
    active: _Count
    """Their calls, at whichever gateway."""
    capacity: _Count
    draining: _Count = 0
    """How many take no new calls, because they end, or an operator wants it so."""
    held_back: _Count = 0
    """How many of these an operator has drained."""
    silent: _Count = 0
    overloaded: _Count = 0
    busy: float | None = None
    """The share of its time in which the event loop of an instance works, the mean of those that say it."""
    versions: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_VERSIONS)] = Field(
        default_factory=list
    )


class GatewayHealth(ClusterMessage):
    """How a gateway is, for operators."""

    url: str
    version: str
    calls: _Count
    max_calls: _Count
    started_at: float
    """In Unix time in seconds."""
    busy: float | None = None
    """The share of one processor that its process has used since it said so before."""
    problems: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MOST_PROBLEMS)] = Field(
        default_factory=list
    )
    draining: bool = False
    """Whether it takes no new calls, because it ends."""
    dials: bool = False
    """Whether it can call telephones."""
    agents: dict[str, AgentHealth] = Field(default_factory=dict)


def _known_entries(value: Any) -> Any:
    """Leave out calls of a kind or in a phase that only a newer gateway knows: the list of all the others is good."""
    if not isinstance(value, list):
        return value
    known = {"kind": get_args(CallKind), "phase": [*Phase]}
    return [
        one for one in value if not isinstance(one, dict) or all(one.get(key) in known[key] for key in known)
    ]


class CallChanges(ClusterMessage):
    """What has changed among the calls of a gateway since the message before, and now and then how it is.

    `epoch` is chosen anew with every start of the gateway. `whole` says that everything from before is to be forgotten:
    the list begins here, and goes on in the messages that follow.
    """

    gateway: str
    epoch: str
    number: Annotated[int, Field(ge=1)]
    whole: bool = False
    changed: Annotated[list[CallEntry], BeforeValidator(_known_entries)] = Field(default_factory=list)
    gone: list[_CallId] = Field(default_factory=list)
    health: GatewayHealth | None = None


class SendCalls(ClusterMessage):
    """Asks a gateway to begin its list of calls again, because a message of `asker` was lost on the way."""

    kind: Literal["send_calls"] = "send_calls"
    asker: str


class WatchCall(ClusterMessage):
    """Asks the gateway that has a call to tell `watcher` what happens in it, for a while: asked again, it goes on.

    `begin` asks for the call's record at once, so that it is known when nothing is missed any more.
    """

    kind: Literal["watch_call"] = "watch_call"
    call_id: _CallId
    watcher: str
    begin: bool = False


class ReportedEvent(ClusterMessage):
    """An event of a conversation, `at` seconds after the answer."""

    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]


class WatchedReport(ClusterMessage):
    """What has happened in a call that is watched from another gateway: its record as it is now, or an event."""

    kind: Literal["call_report"] = "call_report"
    call_id: _CallId
    record: dict[str, Any] | None = None
    """A `gateway.records.models.CallRecord`."""
    event: ReportedEvent | None = None


class CallQuestion(ClusterMessage):
    """Asks all gateways which one has a call. Only that one answers, with its name."""

    call_id: _CallId
    asker: str


class RelayedRequest(Message):
    """A request of an operator to the API of another gateway. Its seal covers all of its keys: none may be unknown.

    Attributes:
        gateway: Who is to carry it out.
        request_id: A random name, good once.
        sent_at: When it was sent, in Unix time in seconds.
        deadline_ms: How long the answer may take.
        method: As in HTTP.
        path: The path, without the query.
        query: What follows the question mark.
        body: The body as text; JSON, wherever there is one.
        headers: Those that the API looks at.
        seal: Shows that the sender has an API key that is good there, too: see `RequestSeal`. Empty: its console is
            open.
    """

    gateway: str
    request_id: Annotated[str, Field(min_length=16, max_length=64)]
    sent_at: float
    deadline_ms: Annotated[int, Field(gt=0, le=60_000)]
    method: Annotated[str, Field(pattern=r"^[A-Z]{3,7}$")]
    path: Annotated[str, Field(max_length=1024)]
    query: Annotated[str, Field(max_length=2048)] = ""
    body: str = ""
    headers: dict[str, Annotated[str, Field(max_length=512)]] = Field(default_factory=dict, max_length=8)
    seal: Annotated[str, Field(max_length=128)] = ""

    def sealed(self) -> bytes:
        """Return what the seal is made of: everything else."""
        return self.model_copy(update={"seal": ""}).model_dump_json().encode(errors="replace")


class RelayedAnswer(ClusterMessage):
    """The answer to a relayed request, as over HTTP."""

    status: Annotated[int, Field(ge=100, le=599)]
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""
