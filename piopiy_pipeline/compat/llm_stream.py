"""What comes from a language model, mended before pipecat reads it: the one place for it.

pipecat's services for OpenAI's protocol read each answer in `_process_context`, which loses tool calls that
do not come exactly as OpenAI sends them, and words that come in a chunk with a tool call. Here each chunk
is put in order first: words pass at once, tool calls follow whole, at the end, one a chunk, numbered from 0.
`tool_deltas` has what servers really send.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import inspect
import json
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Self

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.tool_deltas import ToolCallAssembler

__all__ = ["AnswerMender", "chunks_of_answer", "mend_answers", "mended", "why_answer_ended"]

_ORDINARY_ENDS = (None, "stop", "tool_calls", "function_call", "eos", "end_turn")
_menders: weakref.WeakKeyDictionary[LLMService[Any], AnswerMender] = weakref.WeakKeyDictionary()
"""By service: what mends, or has mended, its latest answer."""


class AnswerMender:
    """Mends the chunks of one answer. Without I/O.

    Args:
        known_tools: The names of the tools that the model was given.
        taken_ids: Ids of earlier tool calls, to which those of this answer are added. pipecat would write a
            result into each call with that id.
        report_broken: Called with the id of a tool call that cannot run, and with what is wrong with it.
    """

    def __init__(
        self,
        known_tools: Collection[str] = (),
        taken_ids: set[str] | None = None,
        report_broken: Callable[[str, str], None] = lambda _id, _fault: None,
    ) -> None:
        self._tools = ToolCallAssembler(known_tools)
        self._taken = set() if taken_ids is None else taken_ids
        self._report_broken = report_broken
        self._announced = False
        self._refusal = ""
        self._finish_reason: str | None = None
        self.chunks = 0
        """How many chunks have come."""

    @property
    def why_ended(self) -> str:
        """Why the answer ended, if the provider gave a reason out of the ordinary, or refused; else empty."""
        if self._refusal:
            return f"refused: {self._refusal[:200]}"
        return "" if self._finish_reason in _ORDINARY_ENDS else str(self._finish_reason)

    def feed(self, chunk: Any) -> Iterator[Any]:
        """Yield what pipecat is to read in the place of this chunk."""
        self.chunks += 1
        choices = getattr(chunk, "choices", None)
        delta = getattr(choices[0], "delta", None) if choices else None
        calls = getattr(delta, "tool_calls", None) or ()
        function_call = getattr(delta, "function_call", None)
        self._refusal += str(getattr(delta, "refusal", None) or "")
        if choices:  # behind the last one, Azure's filter sends another, which has no reason
            self._finish_reason = getattr(choices[0], "finish_reason", None) or self._finish_reason
        content = _words_of(getattr(delta, "content", None))
        if delta is None or not (calls or function_call):
            yield chunk if content is getattr(delta, "content", None) else _chunk(chunk, content=content)
            return
        for call in calls if isinstance(calls, list) else (calls,):
            self._tools.add(call)
        if function_call is not None:
            self._tools.add_function_call(function_call)
        yield _chunk(chunk, content=content, audio=getattr(delta, "audio", None))
        if self._tools and not self._announced:
            self._announced = True  # pipecat's metrics end with the first piece of a tool call
            yield _chunk(None, tool_calls=[SimpleNamespace(index=0, id=None, function=None)])

    def finish(self) -> Iterator[Any]:
        """Yield what follows when the answer has ended: the tool calls."""
        for index, call in enumerate(self._tools.calls()):
            call_id = self._unique(call.id)
            if call.fault is not None:
                self._report_broken(call_id, call.fault)
            function = SimpleNamespace(name=call.name, arguments=json.dumps(call.arguments))
            yield _chunk(None, tool_calls=[SimpleNamespace(index=index, id=call_id, function=function)])

    def _unique(self, call_id: str) -> str:
        number = len(self._taken)
        while not call_id or call_id in self._taken:
            call_id = f"tool{number:05d}"  # nine letters and digits: Mistral takes no other ids
            number += 1
        self._taken.add(call_id)
        return call_id


def _words_of(content: Any) -> str | None:
    """Return the text of a delta's content. Mistral's models that reason send it as a list of typed parts."""
    match content:
        case None | str():
            return content
        case list():
            return "".join(_words_of(part) or "" for part in content)
        case Mapping():
            return _words_of(content.get("text"))  # not of a part that is a thought
        case _:
            return str(content)


def _chunk(original: Any, **delta: Any) -> Any:
    """Return a chunk with what pipecat reads of one."""
    fields = {"content": None, "tool_calls": None, "audio": None, **delta}
    return SimpleNamespace(
        usage=getattr(original, "usage", None),
        model=getattr(original, "model", None),
        choices=[SimpleNamespace(index=0, delta=SimpleNamespace(**fields), finish_reason=None)],
    )


async def mended(stream: AsyncIterator[Any], mender: AnswerMender) -> AsyncIterator[Any]:
    """Yield the chunks of `stream`, mended. It closes the stream, as pipecat would, when it is closed itself."""
    chunks = aiter(stream)
    try:
        async for chunk in chunks:
            for one in mender.feed(chunk):
                yield one
        for one in mender.finish():
            yield one
    finally:
        await _close(chunks)
        await _close(stream)


async def _close(stream: Any) -> None:
    """Close an iterator or a response of an SDK, of which each has one of two methods."""
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    outcome = close() if close is not None else None
    if inspect.isawaitable(outcome):
        await outcome


class _Stream:
    """An async iterator that is also a context manager: pipecat's services close it in either way."""

    def __init__(self, chunks: AsyncIterator[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await _close(self._chunks)


def mend_answers(service: LLMService[Any], report_broken: Callable[[str, str], None]) -> None:
    """Have a service read the mended answers of its model. A service of another protocol stays as it is.

    Args:
        service: The service, before it runs.
        report_broken: Called with the id of each tool call that cannot run, and with what is wrong with it,
            just before the service runs it.
    """
    ask = getattr(service, "get_chat_completions", None)
    if ask is None:
        return
    # Mistral's service knows by their ids the calls that it has run before.
    keeps_ids = type(service).run_function_calls is not LLMService.run_function_calls
    taken: set[str] = set()

    async def get_chat_completions(context: LLMContext) -> Any:
        stream = await ask(context)
        taken.update(() if keeps_ids else _call_ids(context))
        mender = AnswerMender(_tool_names(context), set() if keeps_ids else taken, report_broken)
        _menders[service] = mender
        return _Stream(mended(stream, mender))

    service.get_chat_completions = get_chat_completions  # type: ignore[attr-defined]


def why_answer_ended(service: LLMService[Any]) -> str:
    """Return why a service's latest answer ended, if its provider gave a reason such as ``content_filter``.

    Args:
        service: The service. One that `mend_answers` has not changed, or of another protocol, gives none.

    Returns:
        The reason, or an empty text.
    """
    mender = _menders.get(service)
    return "" if mender is None else mender.why_ended


def chunks_of_answer(service: LLMService[Any]) -> int:
    """Return how many chunks of its latest answer a service has received, also those that are not said.

    Args:
        service: The service. One that `mend_answers` has not changed, or of another protocol, counts none.
    """
    mender = _menders.get(service)
    return 0 if mender is None else mender.chunks


def _tool_names(context: LLMContext) -> set[str]:
    return {schema.name for schema in getattr(context.tools, "standard_tools", None) or ()}


def _call_ids(context: LLMContext) -> set[str]:
    """Return the ids of the tool calls in a conversation."""
    messages: list[Any] = context.get_messages()
    plain = (message for message in messages if isinstance(message, Mapping))
    return {call.get("id") or "" for message in plain for call in message.get("tool_calls") or ()}
