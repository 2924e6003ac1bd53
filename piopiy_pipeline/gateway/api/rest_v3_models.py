"""What clients of Piopiy's REST API send to ``/v3``, as models: the bodies of generation 1 and 2, and PCMO pipelines.

Names, bounds and values are those of its published clients (PyPI's `piopiy` 1.2.2 and `piopiy-agent` 1.2.1). An unknown
field is an error that names it. What has no meaning at a gateway of one's own is read nevertheless: `rest_v3_meaning`
says of it whether it is refused, or done without and told.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from piopiy_pipeline.fault_text import TextForm
from piopiy_pipeline.gateway.api.models import Destination, FinishKey, HeaderName, HeaderText, Model

__all__ = [
    "Action",
    "AiCallBody",
    "BlindTransferBody",
    "Connect",
    "Endpoint",
    "FlowCallBody",
    "HangUp",
    "HangupBody",
    "Input",
    "LegHangupBody",
    "Param",
    "PcmoCallBody",
    "PcmoTransferBody",
    "Play",
    "PlayGetInput",
    "PromptBody",
    "Record",
    "TransferBody",
    "Variables",
]

AgentId = Annotated[str, Field(min_length=1, max_length=128)]
CallId = Annotated[
    str,
    Field(min_length=1, max_length=128),
    TextForm(r"^[^/\x00-\x1f]+$", "has a slash or a control character"),
]
Variables = Annotated[
    dict[
        Annotated[
            str,
            Field(max_length=128),
            TextForm(
                r"^[A-Za-z_][A-Za-z0-9_]*$", "a name has letters, digits and _, and begins with no digit"
            ),
        ],
        StrictBool | StrictInt | StrictFloat | StrictStr,
    ],
    Field(max_length=64),
]
Cause = Annotated[str, Field(min_length=1, max_length=64)]
Reason = Annotated[str, Field(min_length=1, max_length=256)]


class CallLimitsBody(Model):
    """`options` of a call: how long it may last and ring, in seconds, and whether it is recorded."""

    max_duration_sec: Annotated[StrictInt, Field(ge=30, le=7200)] | None = None
    record: StrictBool | None = None
    ring_timeout_sec: Annotated[StrictInt, Field(ge=5, le=120)] | None = None


class AiCallBody(Model):
    """Call somebody with an agent: ``/voice/ai/call``."""

    caller_id: Destination
    to_number: Destination
    agent_id: AgentId
    options: CallLimitsBody = CallLimitsBody()
    variables: Variables | None = None


class RecordingBody(Model):
    """How a `connect` is recorded."""

    enabled: StrictBool = True
    channels: Literal["dual", "single"] = "dual"
    format: Literal["mp3", "wav"] = "wav"


class ConnectOptions(Model):
    """`options` of a `connect`."""

    max_duration_sec: Annotated[StrictInt, Field(ge=10, le=7200)] | None = None
    ring_timeout_sec: Annotated[StrictInt, Field(ge=5, le=120)] | None = None
    machine_detection: StrictBool = False
    recording: RecordingBody | None = None
    waiting_music: str | None = None


class ConnectParams(Model):
    """`params` of a `connect`."""

    caller_id: Destination | None = None
    strategy: Literal["simultaneous", "sequential"] = "sequential"
    options: ConnectOptions = ConnectOptions()
    metadata: Variables | None = None


class Endpoint(Model):
    """Whom a `connect` connects with: a number, a SIP URI or an agent."""

    type: Literal["pstn", "sip", "agent"]
    number: Destination | None = None
    uri: Destination | None = None
    id: AgentId | None = None
    headers: Annotated[dict[HeaderName, HeaderText], Field(max_length=16)] = Field(default_factory=dict)


class Connect(Model):
    """Connect with one of these."""

    action: Literal["connect"]
    params: ConnectParams = ConnectParams()
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=16)]


class Param(Model):
    """Values for what follows."""

    action: Literal["param"]
    data: Annotated[Variables, Field(max_length=10)]


class Record(Model):
    """Record from here on."""

    action: Literal["record"]
    format: Literal["mp3", "wav"] = "wav"
    channels: Literal["single", "dual"] = "dual"


class HangUp(Model):
    """End the call."""

    action: Literal["hangup"]


FileName = Annotated[str, Field(min_length=1, max_length=2000)]


class Play(Model):
    """Play a file: its name, or an address."""

    action: Literal["play"]
    file_name: FileName


class PromptBody(Model):
    """What the caller hears before keys are collected: a file, or a text that a voice says."""

    type: Literal["file", "say"]
    file_name: FileName | None = None
    say: Annotated[str, Field(max_length=4000)] | None = None
    voice_id: Annotated[str, Field(max_length=128)] | None = None
    language: Annotated[str, Field(max_length=64)] | None = None
    speed: Annotated[float, Field(ge=0.5, le=2)] | None = None


class DtmfBody(Model):
    """Which keys are collected. Times are seconds."""

    min_digits: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    max_digits: Annotated[StrictInt, Field(ge=1, le=64)] | None = None
    finish_on_key: FinishKey = "#"
    first_digit_timeout: Annotated[StrictInt, Field(ge=1, le=60)] = 5
    inter_digit_timeout: Annotated[StrictInt, Field(ge=1, le=60)] = 5
    flush_buffer: StrictBool = False


class RetriesBody(Model):
    """How often it is asked again, and what is played before."""

    max: Annotated[StrictInt, Field(ge=0, le=10)] = 0
    no_input_prompt: PromptBody | None = None
    invalid_prompt: PromptBody | None = None


class ResultBody(Model):
    """Where the keys go."""

    type: Literal["url", "pcmo"]
    url: Annotated[str, Field(max_length=2000)] | None = None
    ref: Annotated[str, Field(max_length=256)] | None = None


class PlayGetInput(Model):
    """Play a prompt, and collect keys or words."""

    action: Literal["play_get_input"]
    prompt: PromptBody
    input: Annotated[list[Literal["dtmf", "speech"]], Field(min_length=1, max_length=2)]
    dtmf: DtmfBody = DtmfBody()
    retries: RetriesBody = RetriesBody()
    on_result: ResultBody


class Input(Model):
    """Collect keys."""

    action: Literal["input"]
    dtmf: DtmfBody = DtmfBody()
    on_result: ResultBody


Action = Annotated[
    Connect | Param | Record | HangUp | Play | PlayGetInput | Input, Field(discriminator="action")
]
Pipeline = Annotated[list[Action], Field(min_length=1, max_length=32)]


class PcmoCallBody(Model):
    """Call somebody and do this: ``/voice/pcmo/call``."""

    caller_id: Destination
    to_number: Destination
    app_id: Annotated[str, Field(max_length=128)]
    pipeline: Pipeline
    agent_id: AgentId | None = None
    options: CallLimitsBody = CallLimitsBody()
    variables: Variables | None = None


class PcmoTransferBody(Model):
    """Do this with a call that is under way: ``/voice/pcmo/transfer``."""

    call_id: CallId
    pipeline: Pipeline


class HangupBody(Model):
    """End a call: ``/voice/call/hangup``."""

    call_id: CallId
    cause: Cause = "NORMAL_CLEARING"
    reason: Reason | None = None


class FlowCallBody(Model):
    """A call by a flow of Piopiy's cloud: ``/voice/flow/call``. A gateway has none."""

    model_config = ConfigDict(extra="allow", frozen=True)

    flow_id: Any


class LegHangupBody(Model):
    """End a call, generation 2: ``/calls/{call_id}/actions/hangup``."""

    cause: Cause = "normal"
    reason: Reason | None = None


class BlindTransferBody(Model):
    """Hand the caller over at once, generation 2."""

    pipeline: Pipeline


class TransferBody(Model):
    """Hand the caller over when somebody has answered, generation 2: `to_number` or `sip_uri`."""

    to_number: Destination | None = None
    sip_uri: (
        Annotated[Destination, TextForm(r"^(?i:sips?:)", "an address begins with sip: or sips:")] | None
    ) = None
    caller_id: Destination | None = None
    timeout_sec: Annotated[StrictInt, Field(ge=1, le=300)] | None = None
    confirm: StrictBool = False
    hold_audio: StrictBool | Annotated[str, Field(max_length=1024)] = False
    transfer_summary: Annotated[str, Field(max_length=2000)] = ""
    sip_headers: Annotated[dict[HeaderName, HeaderText], Field(max_length=16)] = Field(default_factory=dict)
    variables: Variables | None = None
