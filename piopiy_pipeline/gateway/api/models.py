"""The requests and answers of the HTTP API as models, from which the OpenAPI document is made.

Times of day are ISO 8601 in UTC, lengths of time are seconds. Unknown keys are refused. The models of calls are
those of the records (`gateway.records.models`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from piopiy_pipeline.audio.sound_cleaner import CleanSound
from piopiy_pipeline.call import TransferOutcomeName
from piopiy_pipeline.fault_text import TextForm
from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.signaling.media_events import Keys
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = [
    "MOST_STEPS",
    "AgentSummary",
    "AppMessage",
    "CallOrder",
    "ChatOrder",
    "ChatTaken",
    "HangupOrder",
    "Hello",
    "KeysOrder",
    "Problem",
    "PromptKeys",
    "PromptOrder",
    "PromptStep",
    "PromptTicket",
    "ServerInfo",
    "Switch",
    "TransferOrder",
    "TransferState",
    "TransferTicket",
    "WatchKey",
    "WatchedCall",
    "WatchedEvent",
]


class Model(BaseModel):
    """The settings that all models of the API share."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Model):
    """An error: what was wrong, and what to do about it."""

    error: str
    request_id: str | None = None
    """If another transfer is under way, or prompts are played: that one's."""


class AgentSummary(Model):
    """An agent of this gateway: how many instances are connected, and their calls."""

    agent_id: str
    instances: int
    elsewhere: int = 0
    """How many instances are at home at other gateways of the cluster, and take calls of this one, too."""
    silent: int = 0
    """How many of them hang, are cut off or blocked, so that nothing is offered to them."""
    overloaded: int = 0
    """How many of them take no new calls, because those that they have take their time."""
    active: int
    capacity: int
    busy: float | None = None
    """The share of its time in which the event loop of an instance works, the mean of those that say it; None if none
    does.
    """
    lag_p95_ms: float | None = None
    """How late timers of an event loop are, of the worst instance, in ms: 95% are not later."""


class ServerInfo(Model):
    """What a page needs first. It needs no key, but without a key `agents` and `problems` are empty."""

    version: str
    console: Literal["key", "open"]
    authorized: bool
    agents: list[AgentSummary] = Field(default_factory=list)
    ice_servers: list[IceServer] = Field(default_factory=list)
    pages: list[str] = Field(default_factory=list)
    """Where browsers reach the gateways of this one's cluster: a page whose gateway is gone goes on at another one. For
    operators and clients with a token; empty if the configuration names none.
    """
    problems: list[str] = Field(default_factory=list)
    """What is wrong just now, a sentence for each: records or recordings that are lost, instances that are silent
    or overloaded."""


# ------------------------------------------------------------------ calls that go out, and control


Destination = Annotated[
    str,
    Field(min_length=1, max_length=256),
    TextForm(r"^[^\x00-\x1f\x7f]+$", "has a control character"),
]
"""A phone number, a ``sip:`` URI, or the name of a registered phone."""


HeaderName = Annotated[
    str,
    TextForm(r"^[Xx]-[A-Za-z0-9-]{1,60}$", "a header begins with X-, and has letters, digits and hyphens"),
]
HeaderText = Annotated[
    str, Field(max_length=500), TextForm(r"^[^\x00-\x1f\x7f]*$", "has a control character")
]


PromptFile = Annotated[
    str,
    Field(max_length=200),
    TextForm(
        r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*\.[Ww][Aa][Vv]$",
        "expected the name of a .wav file in prompts_folder, without a folder",
    ),
]
"""The name of a WAV file in `prompts_folder`."""


FinishKey = Annotated[
    str, TextForm(r"^[0-9A-D*#]?$", "expected one key of 0 to 9, *, # and A to D, or nothing")
]
MOST_STEPS = 16
"""So many prompts an order has at most."""


class PromptKeys(Model):
    """Which keys of the caller a prompt collects. Times are seconds."""

    least: Annotated[int, Field(ge=1, le=64)] = 1
    most: Annotated[int, Field(ge=1, le=64)] = 1
    """So many keys end the input by themselves."""
    finish_on: FinishKey = "#"
    """The key that ends the input, and is not part of it. Empty: none does."""
    first_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long the first key is waited for, after the sound."""
    next_s: Annotated[float, Field(gt=0, le=60)] = 5
    """How long each further key is waited for."""
    fresh: bool = False
    """Whether keys that were pressed before this prompt are dropped."""

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least: {self.least} keys never come where most is {self.most}")
        return self


class PromptStep(Model):
    """A file that the caller hears, keys that are collected during and after it, or both."""

    file: PromptFile | None = None
    keys: PromptKeys | None = None
    name: Annotated[str, Field(min_length=1, max_length=64)] = "keys"
    """What is collected, for the event ``collection``."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often it is asked again after no key, or too few."""
    silence_file: PromptFile | None = None
    """Played before it is asked again because no key came."""
    retry_file: PromptFile | None = None
    """Played before it is asked again because too few keys came."""
    receiver: Annotated[str | None, Field(max_length=2000)] = None
    """The `url` of the one receiver of ``[[webhooks]]`` that is told which keys came, such as a PIN. Everyone else, and
    the record, have their number. None: everyone is told the keys."""
    await_answer: bool = False
    """Whether the receiver's answer is waited for: it may be what comes next, as a pipeline of ``/v3``."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.file is None and self.keys is None:
            raise ValueError("file, keys: a step needs one of them, or both")
        if self.receiver is not None and self.keys is None:
            raise ValueError("receiver: is told of keys, and this step collects none")
        if self.await_answer and self.receiver is None:
            raise ValueError("await_answer: of whom? Give the receiver")
        return self


class ChatOrder(Model):
    """A request to begin a text chat: with which agent, and who chats."""

    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    from_number: Annotated[Destination | None, Field(alias="from")] = None
    """Who chats: the bot's `from_number`."""
    to: Destination | None = None
    """The bot's `to_number`. None: the agent's id."""
    metadata: dict[str, Any] | None = None
    """For the bot."""
    max_duration_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The longest the chat may last from its answer, in seconds. The gateway's own limit holds too."""


class ChatTaken(Model):
    """A message was taken. What comes of it are the events behind the one of the number `after`."""

    after: int


class TransferOrder(Model):
    """A request to transfer a caller. `signaling.messages.Transfer` explains warm transfers."""

    to: Destination
    or_to: Annotated[list[Destination], Field(max_length=15)] = Field(default_factory=list)
    """Who is tried then, one after the other, until somebody takes the caller."""
    warm: bool = True
    summary: Annotated[str, Field(max_length=2000)] = ""
    """A text for the person who answers, if their phone can show it (the header ``X-Call-Summary``)."""
    ring_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30

    from_number: Annotated[Destination | None, Field(alias="from")] = None
    """The number that whoever is called sees. None: the caller's own."""
    headers: Annotated[dict[HeaderName, HeaderText], Field(max_length=16)] = Field(default_factory=dict)
    """More SIP headers for whoever is called: names that begin with ``X-``."""
    hold: bool = False
    """Whether the caller is on hold while it rings, in a warm transfer."""


class TransferTicket(Model):
    """A transfer has begun. The event ``transfer`` with this `request_id` says how it ended."""

    request_id: str


class TransferState(Model):
    """What has become of a transfer. `signaling.messages.TransferResult` explains outcomes."""

    request_id: str
    call_id: str
    to: str
    warm: bool
    outcome: TransferOutcomeName | None = None
    """None: it is ringing there."""
    detail: str = ""


class PromptOrder(Model):
    """A request to play prompts to a caller, one after the other, while the bot is on hold."""

    steps: Annotated[list[PromptStep], Field(max_length=MOST_STEPS)] = Field(default_factory=list)
    transfer: TransferOrder | None = None
    """To whom the caller is handed afterwards. None: the caller is the bot's again."""
    hangup: bool = False
    """Whether the call ends afterwards."""

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> Self:
        if self.transfer is not None and self.hangup:
            raise ValueError("transfer, hangup: one of them at most")
        if not (self.steps or self.transfer or self.hangup):
            raise ValueError("steps: are missing")
        return self


class CallOrder(Model):
    """A request to place a call: whom to call, and which agent talks to them."""

    agent_id: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    """None: no agent does. That is for `prompts` that end with `transfer` or `hangup`."""
    to: Destination
    """The bot's `to_number`."""
    from_number: Annotated[Destination | None, Field(alias="from")] = None
    """The number that the called phone shows, and the bot's `from_number`. None: the trunk's own."""
    metadata: dict[str, Any] | None = None
    """For the bot."""
    max_duration_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The longest the call may last from its answer, in seconds. The gateway's own limit holds too."""
    ring_timeout_s: Annotated[float, Field(gt=0, le=300)] = 45
    """How long the phone may ring, in seconds."""
    record: bool | None = None
    """Whether to record the call. None: as the gateway's configuration says."""
    clean_sound: CleanSound | None = None
    """What is taken out of the caller's audio. None: as the gateway's configuration says."""
    prompts: PromptOrder | None = None
    """What whoever picks up hears and is asked for before the bot, which is on hold meanwhile."""

    @model_validator(mode="after")
    def _somebody_is_there(self) -> Self:
        prompts = self.prompts
        if self.agent_id is None and (prompts is None or not (prompts.transfer or prompts.hangup)):
            raise ValueError("agent_id: a call without an agent has prompts that end with transfer or hangup")
        return self


class PromptTicket(Model):
    """Prompts are being played. Events ``collection`` with this `request_id` say which keys came; of a transfer
    behind them it is the id, too.
    """

    request_id: str


class HangupOrder(Model):
    """A request to hang up. `detail` is kept on the record."""

    detail: Annotated[str, Field(max_length=400)] = ""


class KeysOrder(Model):
    """Keys (DTMF) to press, in this order."""

    digits: Keys


class Switch(Model):
    """Switches something on or off. To send it twice changes nothing."""

    on: bool = True


class AppMessage(Model):
    """A message for the caller's application, or for the bot as if it came from that application."""

    data: dict[str, Any]
    to: Literal["caller", "bot"] = "caller"


# ------------------------------------------------------------------ the WebSocket of events, /api/events


class WatchKey(Model):
    """The first message of a client, within 5 seconds. `key` is not needed if the console is open."""

    type: Literal["watch"] = "watch"
    key: str | None = None
    calls: list[str] | None = None
    """Send the events of these conversations only. None: of all. Changes of calls are always sent."""


class Hello(Model):
    """The answer to `WatchKey`. A `WatchedCall` follows for each call under way."""

    type: Literal["hello"] = "hello"
    version: str


class WatchedCall(Model):
    """A call was placed, answered, or ended: its record as it is now."""

    type: Literal["call"] = "call"
    call: CallRecord


class WatchedEvent(Model):
    """An event of a conversation, `at` seconds after the answer."""

    type: Literal["event"] = "event"
    call_id: str
    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]
