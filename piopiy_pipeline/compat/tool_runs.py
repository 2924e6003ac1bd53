"""`guard_tools`: every tool call of a model ends with a result, in bounded time, and is answered once.

pipecat leaves these to the tool's author, and each of them is silence, or two answers, on the telephone:

- A tool that returns without calling `result_callback`: what it returns is its result.
- A tool that returns or reports nothing, or an empty list: pipecat does not ask the model to go on.
- A tool that returns nothing and has reported nothing, reports twice, or goes on when it was given up: pipecat logs it
  at most. Here it is an error of the call, once for each tool, and the model is told what is known.
- A tool that reports what is not JSON: pipecat's context raises.
- A tool that does not return, swallows its cancellation, is cancelled from inside, or calls `sys.exit()`.
- A quick and a slow tool in one answer: pipecat may ask the model after each of them.
- A model that does nothing but use tools (`tool_answers`).
- A call whose arguments are broken (`llm_stream`), or of a tool that there is not: the model is told what is wrong.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.direct_function import DirectFunctionWrapper
from pipecat.frames.frames import ErrorFrame, FunctionCallResultProperties
from pipecat.services.llm_service import (
    FunctionCallParams,
    FunctionCallRegistryItem,
    FunctionCallRunnerItem,
    LLMService,
)
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.llm_stream import mend_answers
from piopiy_pipeline.compat.tool_answers import ToolAnswers
from piopiy_pipeline.compat.tool_outcome import (
    COMPLETED,
    ToolOutcome,
    outcome_of,
    result_of,
    speakable,
)
from piopiy_pipeline.compat.tool_permits import (
    ToolParams,
    ToolPermit,
    ToolRecord,
    current_tool_run,
    is_idempotent,
)
from piopiy_pipeline.error_text import error_text

__all__ = [
    "COMPLETED",
    "DEFAULT_TOOL_TIMEOUT_S",
    "LOGGED",
    "OF_TOOL",
    "guard_tools",
    "speakable",
]

DEFAULT_TOOL_TIMEOUT_S = 30.0
"""How long a tool may take, in seconds."""
UNWIND_S = 0.5
"""How long a tool may take to end when an interruption cancels it, before it is left alone, in seconds."""
MAX_STRANGE = 100
"""So many things that tools did and cannot have meant are on the record of a call."""
LOGGED = "logged"
"""In the metadata of an `ErrorFrame`: it stands in the log already."""
OF_TOOL = "of_tool"
"""A frame's metadata with the name of the tool whose own error it is."""
FAILED = LLMService.FUNCTION_CALL_ERROR_MESSAGE_TEMPLATE
"""What the model is told of a tool that has raised."""


TooMany = Callable[[int], str | None]


def guard_tools(
    service: LLMService[Any],
    *,
    timeout_s: float = DEFAULT_TOOL_TIMEOUT_S,
    record: ToolRecord | None = None,
    too_many: TooMany = lambda _number: None,
) -> None:
    """Guard the tool calls of a model, and mend the answers that they come in.

    Args:
        service: The model's service, before it runs. Tools may be registered later, too.
        timeout_s: How long a tool may take that was registered without a timeout, in seconds.
        record: Is asked before each run, and told its result.
        too_many: Given the number of a call within its answer, from 1 on. Returns why it is not run, as a sentence
            for the model, or None.
    """
    guard = _Guard(service, timeout_s, record, too_many)
    mend_answers(service, guard.broken.__setitem__)


class _Guard:
    """Runs the tools of one service."""

    def __init__(
        self, service: LLMService[Any], timeout_s: float, record: ToolRecord | None, too_many: TooMany
    ) -> None:
        self._record = record
        self._too_many = too_many
        self.broken: dict[str, str] = {}
        """What is wrong with the tool calls that cannot run, by their ids."""
        self._service = service
        self._timeout_s = service._function_call_timeout_secs or timeout_s
        service._function_call_timeout_secs = None  # pipecat's own only says that the tool was cancelled
        self._grouped = service._group_parallel_tools
        # With a tool that outlives interruptions, pipecat adds text to the service's system instruction, and
        # then most services leave out the system message that is in the context. The messages of such a tool
        # say all that is in that text.
        service._has_async_tools = lambda: False  # type: ignore[method-assign]
        self._running: dict[str, tuple[FunctionCallRunnerItem, _Answer]] = {}
        self._strange: set[tuple[str, str]] = set()  # what is on record already
        self._answers = ToolAnswers(service)
        for name in ("_run_parallel_function_calls", "_run_sequential_function_calls"):
            setattr(service, name, self._before(getattr(service, name)))

    def _before(
        self, run: Callable[[Sequence[FunctionCallRunnerItem]], Awaitable[None]]
    ) -> Callable[[Sequence[FunctionCallRunnerItem]], Awaitable[None]]:
        async def run_guarded(items: Sequence[FunctionCallRunnerItem]) -> None:
            ids = [item.tool_call_id for item in items]
            self._answers.uses(ids, items[0].context if items else None)
            if fault := self._answers.fault:
                self.broken.update(dict.fromkeys(ids, fault))
            answer = _Answer(set(ids))
            for number, item in enumerate(items, self._answers.calls - len(ids) + 1):
                if self._is_unknown(item.function_name):
                    self.broken.setdefault(item.tool_call_id, self._no_such_tool(item))
                elif too_many := self._too_many(number):
                    self.broken.setdefault(item.tool_call_id, too_many)
            self._answers.can_run(not self.broken.keys() >= set(ids))
            for item in items:
                alone = _Answer({item.tool_call_id})
                self._running[item.tool_call_id] = item, answer if self._grouped else alone
                self._guard(item)
            await run(items)

        return run_guarded

    def _is_unknown(self, name: str) -> bool:
        registered = self._service._functions.get(name) or self._service._functions.get(None)
        return registered is None or (
            isinstance(registered.handler, _GuardedTool) and registered.handler.is_missing
        )

    def _no_such_tool(self, item: FunctionCallRunnerItem) -> str:
        known = sorted(name for name in self._service._functions if name and not self._is_unknown(name))
        return f"There is no tool {item.function_name}. There is: {', '.join(known) or 'none'}."

    def _guard(self, item: FunctionCallRunnerItem) -> None:
        """Put a guarded tool in the place of a registered one. pipecat looks it up when the call runs."""
        functions = self._service._functions
        name = item.function_name
        registered = functions.get(name) or functions.get(None)
        missing = registered is None
        if registered is None:  # pipecat's own reply to this is guarded, too, until the next answer
            registered = item.registry_item
            registered.auto_registered = True
            functions[name] = registered
        if not isinstance(registered.handler, _GuardedTool):
            registered.handler = _GuardedTool(registered, self, is_missing=missing)

    async def run(self, tool: _GuardedTool, args: Mapping[str, Any], params: FunctionCallParams) -> None:
        """Run one call to its result."""
        item, answer = self._running.pop(params.tool_call_id)
        report = _Report(params, item, answer, self._record, self._is_strange)
        fault = self.broken.pop(params.tool_call_id, None)
        try:
            if fault is not None:
                await self._refuse(params.function_name, fault, report)
                return
            permit = await self._permit(tool, params)
            if permit.instead is not None:
                await report(permit.instead)
                return
            guarded = replace(ToolParams.of(params, permit.key), result_callback=report.result_callback())
            current_tool_run.set(permit.key)  # pipecat runs each call of a tool in a task of its own
            running = asyncio.create_task(
                _to_its_end(partial(tool.call, args, guarded), report), name=f"tool::{params.function_name}"
            )
            del guarded  # so that nobody but the tool itself can report now
            await self._see_through(running, params.function_name, tool, report)
        finally:
            answer.pending.discard(params.tool_call_id)

    async def _permit(self, tool: _GuardedTool, params: FunctionCallParams) -> ToolPermit:
        if self._record is None:
            return ToolPermit(params.tool_call_id)
        return await self._record.begin(
            params.tool_call_id,
            params.function_name,
            params.arguments,
            idempotent=is_idempotent(tool.function),
        )

    async def _see_through(
        self, running: asyncio.Task[ToolOutcome], name: str, tool: _GuardedTool, report: _Report
    ) -> None:
        timeout_s = tool.timeout_s or self._timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wait({running})
                outcome = result_of(running)
                if outcome.error is None and outcome.value is None and not report.final:
                    await report.or_given_up()
        except TimeoutError:
            running.cancel()
            if report.final:
                await self._is_strange(
                    name, f"has given its result and not returned within {timeout_s:g} s: cancelled"
                )
            else:
                text = f"The tool {name} did not return within {timeout_s:g} s."
                await self._push_error(text, tool=name)
                await report({"error": f"{text} It is not known whether it has done anything."})
            report.given_up = True
            return
        except asyncio.CancelledError:
            running.cancel()
            report.given_up = True
            await asyncio.wait({running}, timeout=UNWIND_S)
            report.ended({"error": "It was cancelled, and it is not known whether it has done anything."})
            raise
        if outcome.error is not None:
            text = error_text(outcome.error, tool.function)
            logger.opt(exception=outcome.error).error("the tool {} failed: {}", name, text)
            await self._push_error(text, tool=name, error=outcome.error, logged=True)
            if not report.final:
                report.ended({"error": text})
                await report(FAILED.format(function_name=name))
        elif not report.final:
            if outcome.value is None:
                did = "has given no result: it returned nothing and did not call result_callback"
                await self._is_strange(name, f'{did}. The model was told "{COMPLETED}"')
            await report(outcome.value)

    async def _refuse(self, name: str, fault: str, report: _Report) -> None:
        """Tell the model what is wrong with its call; a model that does not mend it counts as failing."""
        logger.warning("a call of the tool {} cannot run: {}", name, fault)
        failing = self._answers.are_useless
        silent = FunctionCallResultProperties(run_llm=False) if failing else None
        await report({"error": fault}, properties=silent)
        if failing:
            times = f", {self._answers.broken} times in a row" if self._answers.broken > 1 else ""
            await self._service.push_error(f"no call of the tool {name} can run{times}: {fault}")
        else:
            await self._push_error(f"The model's call of the tool {name} cannot run. {fault}", logged=True)

    async def _is_strange(self, name: str, did: str) -> None:
        """Put on record what a tool did that its author cannot have meant, once for each tool."""
        if (name, did) not in self._strange and len(self._strange) < MAX_STRANGE:
            self._strange.add((name, did))
            logger.warning("the tool {} {}", name, did)
            await self._push_error(f"The tool {name} {did}.", tool=name, logged=True)

    async def _push_error(
        self, text: str, *, tool: str = "", error: BaseException | None = None, logged: bool = False
    ) -> None:
        """Report an error that is not a failure of the model: the model is told, and answers.

        Args:
            text: What has happened.
            tool: The tool that it has happened in; the record has it as the stage.
            error: What it has raised.
            logged: Whether it stands in the log already.
        """
        raised = error if isinstance(error, Exception) else None
        frame = ErrorFrame(error=text, exception=raised, category=ErrorCategory.APPLICATION)
        frame.metadata[LOGGED] = logged
        if tool:
            frame.metadata[OF_TOOL] = tool
        await self._service.push_error_frame(frame)


class _GuardedTool(DirectFunctionWrapper):
    """A registered tool, guarded. `function` is the author's own, by which pipecat knows the tool."""

    def __init__(
        self, registered: FunctionCallRegistryItem, guard: _Guard, *, is_missing: bool = False
    ) -> None:
        handler = registered.handler
        self.is_missing = is_missing  # the model has made the name up
        self._direct = handler if isinstance(handler, DirectFunctionWrapper) else None
        self.function: Any = handler.function if isinstance(handler, DirectFunctionWrapper) else handler
        self.timeout_s = registered.timeout_secs
        registered.timeout_secs = None
        self._guard = guard

    def call(self, args: Mapping[str, Any], params: FunctionCallParams) -> Awaitable[Any]:
        """Call the author's function."""
        if self._direct is not None:
            return self.function(params=params, **args)  # type: ignore[no-any-return]
        return self.function(params)  # type: ignore[no-any-return]

    async def invoke(self, args: Mapping[str, Any], params: FunctionCallParams) -> None:
        await self._guard.run(self, args, params)


class _Answer:
    """The tool calls of one answer: the model goes on when the last of them has its result."""

    def __init__(self, pending: set[str]) -> None:
        self.pending = pending
        self.owed = False
        """Whether a result of this answer waits for the model to go on."""


class _Report:
    """Takes the results of one tool call and passes them to pipecat."""

    def __init__(
        self,
        params: FunctionCallParams,
        item: FunctionCallRunnerItem,
        answer: _Answer,
        record: ToolRecord | None,
        is_strange: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._pass_on = params.result_callback
        self._name = params.function_name
        self._record = record
        self._is_strange = is_strange
        self._item = item
        self._answer = answer
        self._changed = asyncio.Event()
        self.final = False
        """Whether there was a final result."""
        self.given_up = False
        """Whether the tool was cancelled: what it still says is too late."""

    def result_callback(self) -> Any:
        """Return a `result_callback` for the tool. When nobody holds it any more, nobody will report."""

        async def report(result: Any, *, properties: FunctionCallResultProperties | None = None) -> None:
            if self.given_up:
                await self.too_late()
            elif self.final and (properties is None or properties.is_final):
                await self._is_strange(
                    self._name, "has called result_callback twice: the second result does not count"
                )
            else:
                await self(result, properties=properties)

        weakref.finalize(report, self._changed.set).atexit = False
        return report

    async def too_late(self) -> None:
        """Put on record that the tool has come to a result after all: the model was told something else."""
        await self._is_strange(
            self._name, "went on when it was cancelled, and its result came too late to count"
        )

    async def or_given_up(self) -> None:
        """Wait until there is a final result, or until nobody can report one any more."""
        await self._changed.wait()

    async def __call__(self, result: Any, *, properties: FunctionCallResultProperties | None = None) -> None:
        if properties is not None and not properties.is_final:
            await self._pass_on(speakable(result), properties=properties)
            return
        if not self.final:
            self.final = True
            self._answer.pending.discard(self._item.tool_call_id)
            properties = self._one_answer(properties)
            if self._record is not None:
                self._record.end(self._item.tool_call_id, speakable(result))
        self._changed.set()
        await self._pass_on(speakable(result), properties=properties)

    def ended(self, result: Any) -> None:
        """Have it recorded that the run is over, if it has not reported a final result."""
        if not self.final and self._record is not None:
            self._record.end(self._item.tool_call_id, result)

    def _one_answer(
        self, properties: FunctionCallResultProperties | None
    ) -> FunctionCallResultProperties | None:
        """Have the model go on after the last result of its answer, if any of them wants it to."""
        wanted = properties is None or properties.run_llm is not False
        self._answer.owed = self._answer.owed or wanted
        if self._answer.pending:
            return replace(properties or FunctionCallResultProperties(), run_llm=False)
        if self._answer.owed and not wanted:
            return replace(properties or FunctionCallResultProperties(), run_llm=True)
        return properties


async def _to_its_end(begin: Callable[[], Awaitable[Any]], report: _Report) -> ToolOutcome:
    outcome = await outcome_of(begin)
    del begin  # which holds what the tool could still report by
    if report.given_up and outcome.error is None and outcome.value is not None:
        await report.too_late()
    return outcome
