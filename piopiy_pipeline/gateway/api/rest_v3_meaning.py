"""Orders of Piopiy's REST API as orders of our own: what a pipeline means here, and what it cannot mean. No I/O.

An agent has a call of this gateway from its first word on. So a pipeline that calls somebody connects with agents (the
first one that has a place gets the call), or has none: then it plays, collects keys, connects with telephones, and the
call is over behind it. One that transfers connects with telephones, which ring one after the other.
What would be another conversation than was asked for is refused (`NotHere`); what only sounds otherwise is done
without, and the answer's `warnings` name it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.api.models import (
    MOST_STEPS,
    CallOrder,
    Model,
    PromptOrder,
    PromptStep,
    TransferOrder,
)
from piopiy_pipeline.gateway.api.rest_v3_error import BadOrder, NotHere
from piopiy_pipeline.gateway.api.rest_v3_models import (
    Action,
    AiCallBody,
    BlindTransferBody,
    Connect,
    Endpoint,
    HangUp,
    Input,
    Param,
    PcmoCallBody,
    Play,
    PlayGetInput,
    Record,
    TransferBody,
)
from piopiy_pipeline.gateway.api.rest_v3_prompts import NoReceiver, step_of
from piopiy_pipeline.json_values import fault_in

__all__ = [
    "AgentCalls",
    "Known",
    "Transfers",
    "answered",
    "call_of",
    "calls_of",
    "number_of",
    "transfer_of",
    "transfers_of",
]

_RING_S = 45
"""How long a phone rings that nothing was said of, in seconds: our own API's."""
_TRANSFER_RING_S = 30

Known = Callable[[str], bool]
"""Whether the `sip` section has a contact or user of this name."""


@dataclass(frozen=True, slots=True)
class AgentCalls:
    """A call, as an order for each agent that may have it, the first one first."""

    tries: list[CallOrder]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Transfers:
    """What is to become of a caller: first these prompts, then a transfer, the end, or neither."""

    order: TransferOrder | None
    record: bool = False
    prompts: list[PromptStep] = field(default_factory=list)
    hangup: bool = False
    warnings: list[str] = field(default_factory=list)

    def prompt_order(self) -> PromptOrder:
        """Return the order that plays the prompts, and does then what comes behind them. Raises `BadOrder`."""
        return _prompt_order(self.prompts, self.order, hangup=self.hangup)


_Order = TypeVar("_Order", bound=Model)
_THEIR_NAMES = {"to": "to_number", "or_to": "endpoints", "from": "caller_id"}
"""Keys of our own orders, as clients of ``/v3`` call them."""


def _made(model: type[_Order], fields: dict[str, Any], where: str = "") -> _Order:
    """Return one of our own orders: what a client sent may be too much for it, though it was right for ``/v3``.

    Args:
        model: Its class.
        fields: Its fields.
        where: The place in the client's order that it is made of, for the sentence.

    Raises:
        BadOrder: A field is not as our API has it.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        first, *rest = fault["loc"] or ("",)
        text = fault_text({**fault, "loc": (_THEIR_NAMES.get(str(first), first), *rest)})
        raise BadOrder(f"{where}: {text}" if where else text) from None


def _prompt_order(
    steps: Sequence[PromptStep], transfer: TransferOrder | None = None, *, hangup: bool = False
) -> PromptOrder:
    if len(steps) > MOST_STEPS:
        raise BadOrder(
            f"pipeline: {len(steps)} of play, play_get_input and input: {MOST_STEPS} are the limit"
        )
    return _made(PromptOrder, {"steps": list(steps), "transfer": transfer, "hangup": hangup}, "pipeline")


def number_of(text: str, known: Known) -> str:
    """Return whom to call. Piopiy writes numbers as digits with the country code: they get their plus.

    Args:
        text: A number in any form, a ``sip:`` URI, or a name.
        known: Tells names of the `sip` section, which stay as they are.
    """
    digits = text.strip()
    if (
        digits.isascii()
        and digits.isdecimal()
        and len(digits) >= 7
        and digits[0] != "0"
        and not known(digits)
    ):
        return f"+{digits}"
    return text


def call_of(body: AiCallBody, known: Known) -> AgentCalls:
    """Read ``/voice/ai/call``."""
    return AgentCalls([_call_order(body, body.agent_id, body.variables, known)])


def calls_of(body: PcmoCallBody, known: Known, no_receiver: NoReceiver) -> AgentCalls:
    """Read ``/voice/pcmo/call``. `no_receiver` is as in `step_of`. Raises `NotHere` and `BadOrder`."""
    connect, at = _only_connect(body.pipeline)
    if connect is not None and any(one.type == "agent" for one in connect.endpoints):
        return _with_agents(body, connect, at, known, no_receiver)
    ends = connect is not None or body.pipeline[-1].action == "hangup"
    if body.agent_id is not None and not ends:
        return _with_agents(body, connect, at, known, no_receiver)
    return _without_agent(body, known, no_receiver)


def _without_agent(body: PcmoCallBody, known: Known, no_receiver: NoReceiver) -> AgentCalls:
    """Read a pipeline that plays something, and connects with telephones or hangs up: behind it the call is over."""
    ends = body.pipeline[-1].action == "hangup"
    pipeline = body.pipeline if ends else [*body.pipeline, HangUp(action="hangup")]
    wanted = transfers_of(pipeline, known, no_receiver)
    transfer = wanted.order
    if transfer is None and not wanted.prompts:
        raise NotHere("pipeline: nobody would talk: play something, or connect with a number or an agent")
    if transfer is not None and number_of(body.to_number, known) in (transfer.to, *transfer.or_to):
        raise NotHere(
            "pipeline: to_number is called already: connect with somebody else, or with an endpoint of type agent"
        )
    prompts = wanted.prompt_order()
    record = wanted.record or body.options.record
    order = _call_order(body, None, _variables(body), known, record=record, prompts=prompts)
    return AgentCalls([order], wanted.warnings)


def _with_agents(
    body: PcmoCallBody, connect: Connect | None, at: str, known: Known, no_receiver: NoReceiver
) -> AgentCalls:
    """Read a pipeline that connects with agents, or with nobody: then it is that of `agent_id`."""
    warnings: list[str] = []
    variables = _variables(body)
    record = body.options.record
    ring_s: int | None = None
    steps: list[PromptStep] = []
    for number, action in enumerate(body.pipeline):
        if isinstance(action, Play | PlayGetInput | Input):
            steps.append(step_of(action, f"pipeline[{number}]", no_receiver, warnings))
        elif isinstance(action, Record):
            record = True
            _warn_of_format(action, f"pipeline[{number}]", warnings)
    agents = [body.agent_id] if body.agent_id is not None else []
    if connect is not None:
        agents = [_agent_of(one, f"{at}.endpoints[{n}]") for n, one in enumerate(connect.endpoints)]
        if len(agents) > 2:
            raise NotHere(f"{at}.endpoints: two agents at most")
        ring_s = connect.params.options.ring_timeout_sec
        recording = connect.params.options.recording
        record = record or (recording.enabled if recording is not None else None)
        if connect.params.strategy == "simultaneous" and len(agents) > 1:
            warnings.append(f"{at}.params.strategy: agents are asked one after the other")
        _warn_of_options(connect, at, warnings)
    prompts = _prompt_order(steps) if steps else None
    tries = [
        _call_order(body, one, variables, known, record=record, ring_s=ring_s, prompts=prompts)
        for one in agents
    ]
    return AgentCalls(tries, warnings)


def _variables(body: PcmoCallBody) -> dict[str, Any] | None:
    variables = dict(body.variables or {})
    for action in body.pipeline:
        if isinstance(action, Param):
            variables |= action.data
        elif isinstance(action, Connect):
            variables |= action.params.metadata or {}
    return variables or None


def _call_order(
    body: AiCallBody | PcmoCallBody,
    agent_id: str | None,
    variables: dict[str, Any] | None,
    known: Known,
    *,
    record: bool | None = None,
    ring_s: int | None = None,
    prompts: PromptOrder | None = None,
) -> CallOrder:
    options = body.options
    return _made(
        CallOrder,
        {
            "agent_id": agent_id,
            "to": number_of(body.to_number, known),
            "from": number_of(body.caller_id, known),
            "metadata": variables,
            "max_duration_s": options.max_duration_sec,
            "ring_timeout_s": options.ring_timeout_sec or ring_s or _RING_S,
            "record": options.record if record is None else record,
            "prompts": prompts,
        },
    )


def transfers_of(pipeline: Sequence[Action], known: Known, no_receiver: NoReceiver) -> Transfers:
    """Read what ``/voice/pcmo/transfer`` and a blind transfer of generation 2 do with a caller. `no_receiver` is as in
    `step_of`. Raises `NotHere` and `BadOrder`.
    """
    warnings: list[str] = []
    prompts: list[PromptStep] = []
    record = False
    connect, at = _only_connect(pipeline)
    for number, action in enumerate(pipeline):
        if isinstance(action, Play | PlayGetInput | Input):
            prompts.append(step_of(action, f"pipeline[{number}]", no_receiver, warnings))
        elif isinstance(action, Record):
            record = True
            _warn_of_format(action, f"pipeline[{number}]", warnings)
        elif isinstance(action, Param):
            warnings.append(f"pipeline[{number}].data: whoever takes the caller is not told of it")
    if connect is None:
        if all(isinstance(action, Param) for action in pipeline):
            raise NotHere("pipeline: a transfer connects with a number or a sip: URI, or hangs up")
        hangup = any(action.action == "hangup" for action in pipeline)
        if not hangup and not prompts:
            raise NotHere("pipeline[0]: to record is no transfer: POST /api/calls/{call_id}/record")
        if not hangup:
            warnings.append("pipeline: behind its last action the caller is the bot's again")
        return Transfers(None, record, prompts, hangup, warnings)
    params = connect.params
    phones = [_phone_of(one, f"{at}.endpoints[{n}]", known) for n, one in enumerate(connect.endpoints)]
    headers = connect.endpoints[0].headers
    if any(one.headers != headers for one in connect.endpoints):
        raise NotHere(f"{at}.endpoints: headers are the same for all of a transfer")
    if params.strategy == "simultaneous" and len(phones) > 1:
        warnings.append(f"{at}.params.strategy: endpoints ring one after the other")
    if params.metadata:
        warnings.append(f"{at}.params.metadata: whoever takes the caller is not told of it")
    if params.options.recording is not None:
        record = record or params.options.recording.enabled
    if params.options.max_duration_sec is not None:
        warnings.append(
            f"{at}.params.options.max_duration_sec: the call lasts as long as it may on its whole"
        )
    _warn_of_options(connect, at, warnings)
    order = {
        "to": phones[0],
        "or_to": phones[1:],
        "from": None if params.caller_id is None else number_of(params.caller_id, known),
        "warm": False,
        "headers": headers,
        "ring_timeout_s": params.options.ring_timeout_sec or _TRANSFER_RING_S,
    }
    return Transfers(_made(TransferOrder, order, at), record, prompts, warnings=warnings)


def answered(answer: bytes, known: Known, no_receiver: NoReceiver) -> Transfers | None:
    """Read what a receiver of keys has answered: a pipeline, or an object with one as `pipeline`.

    Returns:
        What it does with the caller, as `transfers_of`; None for an answer of any other kind, which says nothing.

    Raises:
        BadOrder: It is a pipeline, and wrong.
        NotHere: A gateway cannot do that.
    """
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    pipeline = body.get("pipeline") if isinstance(body, dict) else body
    if not isinstance(pipeline, list) or not pipeline:
        return None
    if fault := fault_in(pipeline, "pipeline"):
        raise BadOrder(fault)
    return transfers_of(_made(BlindTransferBody, {"pipeline": pipeline}).pipeline, known, no_receiver)


def transfer_of(body: TransferBody, known: Known) -> Transfers:
    """Read a warm transfer of generation 2. Raises `BadOrder` and `NotHere`."""
    if (body.to_number is None) == (body.sip_uri is None):
        raise BadOrder("to_number, sip_uri: a transfer needs exactly one of them, or a pipeline")
    if body.confirm:
        raise NotHere("confirm: nobody is asked to press 1 here; leave it out, or have the bot call first")
    warnings = []
    if isinstance(body.hold_audio, str) and body.hold_audio:
        warnings.append("hold_audio: the caller hears the gateway's own hold sound")
    if body.variables:
        warnings.append("variables: they are kept nowhere; use transfer_summary or sip_headers")
    order = {
        "to": body.sip_uri or number_of(body.to_number or "", known),
        "from": None if body.caller_id is None else number_of(body.caller_id, known),
        "warm": True,
        "summary": body.transfer_summary,
        "headers": body.sip_headers,
        "ring_timeout_s": body.timeout_sec or _TRANSFER_RING_S,
        "hold": bool(body.hold_audio),
    }
    return Transfers(_made(TransferOrder, order), warnings=warnings)


def _only_connect(pipeline: Sequence[Action]) -> tuple[Connect | None, str]:
    """Return the pipeline's one `connect` and where it is, and check that what else is there can be done."""
    found: Connect | None = None
    at = ""
    for number, action in enumerate(pipeline):
        where = f"pipeline[{number}]"
        if number and pipeline[number - 1].action == "hangup":
            raise BadOrder(f"{where}: nothing comes after hangup")
        if isinstance(action, Connect):
            if found is not None:
                raise BadOrder(f"{where}: a pipeline has one connect")
            found, at = action, where
        elif found is not None and action.action != "hangup":
            raise NotHere(f"{where}: nothing but hangup comes after connect: put {action.action} before it")
    return found, at


def _agent_of(endpoint: Endpoint, where: str) -> str:
    if endpoint.type != "agent":
        raise NotHere(
            f"{where}: an agent has a call from its beginning: connect with agents alone,"
            " and let the bot or a transfer bring in others"
        )
    if endpoint.id is None:
        raise BadOrder(f"{where}.id: is missing")
    return endpoint.id


def _phone_of(endpoint: Endpoint, where: str, known: Known) -> str:
    if endpoint.type == "agent":
        raise NotHere(f"{where}: a caller is handed to another agent by the bot, and not by a transfer")
    if endpoint.type == "sip":
        if endpoint.uri is None:
            raise BadOrder(f"{where}.uri: is missing")
        return endpoint.uri
    if endpoint.number is None:
        raise BadOrder(f"{where}.number: is missing")
    return number_of(endpoint.number, known)


def _warn_of_format(record: Record, where: str, warnings: list[str]) -> None:
    if record.format != "wav" or record.channels != "dual":
        warnings.append(f"{where}: recordings are WAV here, the caller left and the bot right")


def _warn_of_options(connect: Connect, at: str, warnings: list[str]) -> None:
    options = connect.params.options
    if options.machine_detection:
        warnings.append(f"{at}.params.options.machine_detection: answering machines are not told from people")
    if options.waiting_music:
        warnings.append(f"{at}.params.options.waiting_music: callers hear it ring")
    if options.recording is not None and options.recording.enabled:
        record = Record(action="record", format=options.recording.format, channels=options.recording.channels)
        _warn_of_format(record, f"{at}.params.options.recording", warnings)
