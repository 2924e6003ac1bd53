"""Tools that a bot on the telephone gives its model: hand the caller over, hang up, press keys.

    tools=[transfer_call(to="+4930123456", when="the caller wants to speak to a human"), end_call()]

Each is a pipecat `FunctionSchema` with its handler, for `VoiceAgent(tools=...)` or `LLMContext(tools=...)`.
The author decides in code where a caller may be sent, because a caller can talk a model into anything.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar, overload

from loguru import logger
from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.arguments import (
    check_kind,
    check_seconds,
    check_switches,
    check_text,
    check_tool_name,
    shown,
)
from piopiy_pipeline.compat.tool_permits import ToolParams, mark_idempotent
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.session import Call, TransferOutcome, current_call
from piopiy_pipeline.session.call_control import failure_text, transfer_request
from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.session.hand_off.hand_offs import HandOffError
from piopiy_pipeline.session.hand_off.persona import Persona, personas_in

__all__ = [
    "HandOffError",
    "Persona",
    "ToolParams",
    "end_call",
    "hand_off_call",
    "press_keys",
    "tool",
    "transfer_call",
]

_NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
_SILENTLY = FunctionCallResultProperties(run_llm=False)
MAX_SUMMARY = 2000
_TASKS: set[asyncio.Task[Any]] = set()
"""Transfers under way, and what the model still has to hear of them."""
AT_ONCE_S = 0.3
"""An outcome of a transfer that is known within this many seconds is the tool's own result."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *, timeout: float | None = None, keep_on_interruption: bool = True, idempotent: bool = False
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    timeout: float | None = None,
    keep_on_interruption: bool = True,
    idempotent: bool = False,
) -> F | Callable[[F], F]:
    """A decorator that says how a tool runs: an async function, or the handler of a `FunctionSchema`.

    ``@tool`` without parentheses is the same as ``@tool()``.

    Args:
        function: The tool, if the decorator is used without parentheses.
        timeout: A tool that has not returned after this many seconds is given up, and the model is told so.
            None: what the call says, which is 30 s by default.
        keep_on_interruption: Whether the tool runs on when the caller speaks meanwhile; its result then comes
            behind the answer to what the caller said. False: it is cancelled, wherever it is, which is right
            for a tool that only looks something up and takes long.
        idempotent: Whether the tool may be run again with the same `params.idempotency_key` when the agent was lost
            while it ran: because it only looks something up, or because its server does the work of one key once.
            Otherwise the model is told that it is not known whether the tool has run, and asks the caller.

    Returns:
        The decorator. It returns the function itself.

    Raises:
        TypeError: What is decorated is no function, or the timeout is no number.
        ValueError: The timeout is not more than 0.

    Example:
        ```python
        @tool(timeout=10)
        async def book_table(params, people: int):
            \"\"\"Book a table.\"\"\"
            return await bookings.add(people)
        ```
    """
    check_seconds("the timeout of a tool", timeout, or_none="what the call says")
    check_switches(keep_on_interruption=keep_on_interruption, idempotent=idempotent)

    def decorate(function: F) -> F:
        if not callable(function):
            raise TypeError(f"tool decorates an async function, not {shown(function)}")
        tool_options(cancel_on_interruption=not keep_on_interruption, timeout_secs=timeout)(function)
        return mark_idempotent(function) if idempotent else function

    return decorate if function is None else decorate(function)


def transfer_call(
    to: str | None = None,
    *,
    destinations: Mapping[str, str] | None = None,
    any_number: bool = False,
    when: str = "the caller asks for a human, or needs what you cannot do",
    warm: bool = True,
    ring_timeout_s: float = 30,
    name: str = "transfer_call",
) -> FunctionSchema:
    """Return a tool that hands the caller over to somebody else.

    The tool of a warm transfer returns at once, so that the caller goes on talking to the bot while it rings.
    When nobody answers, the model gets the reason as a message in the conversation, and speaks.

    Args:
        to: The only destination: a number, a SIP URI, or a name that the gateway knows.
        destinations: Destinations by name, of which the model chooses one. It never sees the numbers.
        any_number: Whether the model may dial any number. This is a risk: a caller who talks the model into
            an expensive number calls it at your cost.
        when: Tells the model when to use the tool.
        warm: See `Call.transfer`.
        ring_timeout_s: How long it may ring, in seconds, 300 at most.
        name: The tool's name.

    Returns:
        The tool, for `VoiceAgent(tools=...)` or `LLMContext(tools=...)`.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: Not exactly one of `to`, `destinations` and `any_number` is given, or an argument cannot work.

    Example:
        ```python
        transfer_call(destinations={"billing": "+4930123456", "sales": "+4930123457"})
        ```
    """
    check_tool_name("transfer_call: name", name)
    check_text("transfer_call: when", when)
    check_seconds("transfer_call: ring_timeout_s", ring_timeout_s)
    check_switches(any_number=any_number, warm=warm)
    if to is not None:
        check_text("transfer_call: to", to)
    if destinations is not None:
        expected = "a mapping of names to numbers"
        check_kind("transfer_call: destinations", destinations, Mapping, expected)
        for each in (each for pair in destinations.items() for each in pair):
            check_kind("transfer_call: destinations", each, str, f"{expected}, all of them texts")
    if (to is not None) + (destinations is not None) + bool(any_number) != 1:
        raise ValueError("transfer_call: say to whom, in one way: to=, destinations= or any_number=True")
    if destinations is not None and not all(key and value for key, value in destinations.items()):
        raise ValueError("transfer_call: a destination is a name and a number")
    if destinations is not None and not destinations:
        raise ValueError("transfer_call: destinations is empty")
    for number in destinations.values() if destinations is not None else (to or "any number",):
        transfer_request("call", "t1", number, warm=warm, summary="", ring_timeout_s=ring_timeout_s)
    properties: dict[str, Any] = {}
    if destinations is not None:
        properties["to"] = {"type": "string", "enum": list(destinations), "description": "Whom to call."}
    elif any_number:
        properties["to"] = {"type": "string", "description": "The telephone number, such as +4930123456."}
    properties["summary"] = {
        "type": "string",
        "description": "What whoever answers needs to know: who calls, and what they want. One sentence.",
    }

    def number_of(arguments: Mapping[str, Any]) -> tuple[str, str]:
        """Return the destination, and what the model calls it. Raises `ValueError`, with what to tell the model."""
        if to is not None:
            return to, "them"
        wanted = str(arguments.get("to") or "").strip()
        if destinations is not None:
            if wanted not in destinations:
                raise ValueError(f"there is no {shown(wanted)}, only {', '.join(destinations)}")
            return destinations[wanted], wanted
        number = re.sub(r"[\s().\-/]", "", wanted)
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"{shown(wanted)} is no telephone number")
        return number, wanted

    @tool()
    async def handler(params: FunctionCallParams) -> None:
        call = _call()
        try:
            number, whom = number_of(params.arguments)
        except ValueError as error:
            await params.result_callback({"error": str(error)})
            return
        if call.transferring:
            await params.result_callback({"error": "another transfer is under way: wait for its outcome"})
            return
        summary = str(params.arguments.get("summary") or "")[:MAX_SUMMARY]
        transfer = _keep(
            call.transfer(number, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s), call, name
        )
        known = False
        try:
            if not warm:  # the bot is about to leave: there is nothing to add to what it has said
                await params.result_callback({"transferring": True}, properties=_SILENTLY)
                return
            known = bool((await asyncio.wait({transfer}, timeout=AT_ONCE_S))[0])
            if known and not (outcome := transfer.result()).bridged:
                await params.result_callback({"error": _failure(outcome, whom)})
            else:
                await params.result_callback(
                    {"ringing": True, "note": f"It rings at {whom}. Talk on until they answer."}
                )
        finally:  # also when the caller cuts in just now
            if not known:
                _keep(_see_through(call, transfer, name, whom), call, name)

    ways = "It rings there while you go on talking." if warm else "You leave the call with it: say so first."
    return FunctionSchema(
        name=name,
        description=f"Hand the caller over to somebody else. Use it when {when}. {ways}",
        properties=properties,
        required=list(properties),
        handler=handler,
    )


async def _see_through(call: Call, transfer: asyncio.Task[TransferOutcome], tool: str, whom: str) -> None:
    """Wait for the outcome of a transfer, and have the model speak if it failed."""
    try:
        outcome = await transfer
        if not outcome.bridged and not call.ended:
            advice = (
                "The caller is still with you: tell them, and help them yourself or offer something else."
            )
            note = {"tool": tool, "error": _failure(outcome, whom), "note": advice}
            await call.respond(json.dumps(note, ensure_ascii=False))
    except (RuntimeError, ValueError) as error:
        logger.error("the transfer to {} was not asked for: {}", whom, error)


async def _say(call: Call, text: str) -> None:
    try:
        await call.say(text)
    except (RuntimeError, ValueError) as error:
        logger.error("the goodbye was not said: {}", own_text(error))


def _failure(outcome: TransferOutcome, whom: str) -> str:
    return f"The transfer to {whom} came to nothing: {failure_text(outcome)}."


def _keep(work: Coroutine[Any, Any, T], call: Call, name: str) -> asyncio.Task[T]:
    """Run work beside the tool, which an interruption may cancel. It ends with the call."""
    task = asyncio.create_task(work, name=f"{call.info.call_id}::{name}")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return task


def end_call(
    *,
    when: str = "the caller is done, and everything is settled",
    goodbye: str | None = None,
    final: bool = False,
    name: str = "end_call",
) -> FunctionSchema:
    """Return a tool that hangs up when the caller has heard what the bot is saying.

    A caller who goes on speaking meanwhile is not hung up on: the call goes on, and the model answers.

    Args:
        when: Tells the model when to use the tool.
        goodbye: What the bot says before it hangs up; the model says no more. None: the model says goodbye.
        final: Whether the bot hangs up even if the caller goes on speaking.
        name: The tool's name.

    Returns:
        The tool, for `VoiceAgent(tools=...)` or `LLMContext(tools=...)`.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: `when` is empty, or `name` is no name of a tool.
    """
    check_tool_name("end_call: name", name)
    check_text("end_call: when", when)
    check_kind("end_call: goodbye", goodbye, (str, type(None)), "a text, or None for the model's own")
    check_switches(final=final)
    goes_on = "" if final else " If the caller goes on speaking, the call goes on: use this tool again then."

    @tool(idempotent=True)
    async def handler(params: FunctionCallParams) -> None:
        call = _call()
        if call.transferring:  # which would end with the call
            await params.result_callback({"error": "A transfer is under way: stay until somebody answers."})
            return
        if goodbye is None:
            await call.hangup(final=final)  # which waits for the model's answer to the result
            note = f"Say goodbye now, unless you have just done so.{goes_on}"
            await params.result_callback({"ending": True, "note": note})
            return
        result = {"ending": True} if final else {"ending": True, "note": goes_on.strip()}
        await params.result_callback(result, properties=_SILENTLY)
        if not call.ended:
            _keep(_say(call, goodbye), call, name)
        await call.hangup(final=final)  # its task comes after the one that says goodbye

    return FunctionSchema(
        name=name,
        description=f"End the call. Use it when {when}.",
        properties={},
        required=[],
        handler=handler,
    )


def hand_off_call(
    agents: Mapping[str, Persona | None],
    *,
    context: HandOffContext = "keep",
    name: str = "hand_off_call",
) -> FunctionSchema:
    """Return a tool that hands the call over to another persona of the bot. See `Call.hand_over`.

    Args:
        agents: Personas by the names by which the model chooses one. None: the one that the call began with.
        context: What the other one knows of the conversation: ``"keep"``, ``"summary"`` or ``"fresh"``.
        name: The tool's name.

    Returns:
        The tool, for `VoiceAgent(tools=...)`, `LLMContext(tools=...)` or `Persona(tools=...)`.

    Raises:
        ValueError: There are no agents, or there is no such `context`.
        TypeError: One of them is no `Persona`.

    Example:
        ```python
        hand_off_call({"billing": Persona(name="billing", instructions="You answer questions about bills.")})
        ```
    """
    check_kind("hand_off_call: agents", agents, Mapping, "a mapping of names to Personas")
    check_tool_name("hand_off_call: name", name)
    if not agents:
        raise ValueError("hand_off_call: agents is empty")
    for key, persona in agents.items():
        check_kind("hand_off_call: a key of agents", key, str, "a text")
        if not key.strip():
            raise ValueError("hand_off_call: a key of agents is empty: by it the model says whom it means")
        check_kind(f"hand_off_call: agents[{key!r}]", persona, (Persona, type(None)), "a Persona, or None")
    if context not in ("keep", "summary", "fresh"):
        raise ValueError(f"hand_off_call: context={shown(context)}: it is 'keep', 'summary' or 'fresh'")

    @tool(idempotent=True)
    async def handler(params: FunctionCallParams) -> None:
        wanted = str(params.arguments.get("to") or "")
        if wanted not in agents:
            await params.result_callback({"error": f"there is no {wanted!r}, only {', '.join(agents)}"})
            return
        persona = agents[wanted]
        try:
            await _call().hand_over(persona, context=context)
        except HandOffError as error:
            await params.result_callback({"error": f"Not handed over: {error}."})
            return
        silent = context == "fresh" and persona is not None and persona.introduction is not None
        result = {"handed_over": True, "you_are_now": wanted}
        await params.result_callback(result, properties=_SILENTLY if silent else None)

    handler.personas = [persona for persona in agents.values() if persona is not None]  # type: ignore[attr-defined]
    personas_in([handler])
    cases = [
        f"{key}: {persona.when}" for key, persona in agents.items() if persona is not None and persona.when
    ]
    hint = f" {'; '.join(cases)}." if cases else ""
    return FunctionSchema(
        name=name,
        description=f"Hand the caller over to a colleague, who speaks with them from then on.{hint}",
        properties={"to": {"type": "string", "enum": list(agents), "description": "Who takes over."}},
        required=["to"],
        handler=handler,
    )


def press_keys(
    *,
    when: str = "a recorded voice asks you to press a key",
    name: str = "press_keys",
) -> FunctionSchema:
    """Return a tool with which the model presses telephone keys, for bots that call a recorded menu.

    Args:
        when: Tells the model when to use the tool.
        name: The tool's name.

    Returns:
        The tool, for `VoiceAgent(tools=...)` or `LLMContext(tools=...)`.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: `when` is empty, or `name` is no name of a tool.
    """
    check_tool_name("press_keys: name", name)
    check_text("press_keys: when", when)

    @tool()
    async def handler(params: FunctionCallParams) -> None:
        given = params.arguments.get("digits")
        digits = "" if given is None else str(given).replace(" ", "")  # 0 is a key, too
        try:
            await _call().send_dtmf(digits)
        except ValueError as error:
            await params.result_callback({"error": str(error)})
        else:
            await params.result_callback({"pressed": digits}, properties=_SILENTLY)

    return FunctionSchema(
        name=name,
        description=f"Press keys of the telephone. Use it when {when}.",
        properties={"digits": {"type": "string", "description": "The keys, of 0-9, * and #, such as 12#."}},
        required=["digits"],
        handler=handler,
    )


def _call() -> Call:
    call = current_call.get()
    if call is None:
        raise RuntimeError("this tool is for calls: it runs within create_session")
    return call
