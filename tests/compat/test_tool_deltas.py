"""Tool calls from their pieces, as servers that call themselves compatible with OpenAI send them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import Frame, FunctionCallFromLLM, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.compat import tool_deltas
from piopiy_pipeline.compat.llm_stream import mend_answers
from piopiy_pipeline.compat.tool_deltas import UNNAMED_TOOL, ToolCallAssembler

KNOWN = ("book", "book_table", "get_weather", "hang_up")
CASES = int(os.environ.get("PROPERTY_CASES", "200"))


def call(index: Any = 0, name: Any = None, arguments: Any = None, id: Any = None) -> dict[str, Any]:
    """One piece of a tool call."""
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def piece(raw: dict[str, Any]) -> Any:
    """As the OpenAI SDK makes it of JSON: attributes, and what is missing is not there."""
    fields = {**raw, "function": SimpleNamespace(**raw["function"])} if "function" in raw else raw
    return SimpleNamespace(**fields)


def assembled(*pieces: dict[str, Any]) -> list[tuple[str, dict[str, Any] | None]]:
    """Names and arguments; None for a call that is broken."""
    assembler = ToolCallAssembler(KNOWN)
    for raw in pieces:
        assembler.add(piece(raw))
    return [(one.name, None if one.fault else one.arguments) for one in assembler.calls()]


def test_the_pieces_of_openai_and_of_azure_make_one_call() -> None:
    pieces = (call(0, "book", "", "call_1"), call(0, None, '{"peo'), call(0, None, 'ple": 4}'))
    assert assembled(*pieces) == [("book", {"people": 4})]


def test_an_index_may_begin_at_one_or_be_missing() -> None:
    assert assembled(call(1, "book", "{}", "a")) == [("book", {})]
    assert assembled(call(None, "book", '{"a":', "a"), call(None, None, "1}")) == [("book", {"a": 1})]


def test_bedrocks_gateway_begins_below_zero() -> None:
    pieces = (call(-1, "book", "", "a"), call(-1, None, '{"people": 4}'), call(0, "hang_up", "{}", "b"))
    assert assembled(*pieces) == [("book", {"people": 4}), ("hang_up", {})]


def test_sglang_numbers_the_names_in_another_way_than_the_arguments() -> None:
    names = (call(1, "book", "", "a"), call(0, None, '{"people": 4}'))
    more = (call(0, "get_weather", "", "b"), call(1, None, '{"day":'), call(1, None, '"Friday"}'))
    assert assembled(*names, *more) == [("book", {"people": 4}), ("get_weather", {"day": "Friday"})]


def test_litellm_says_null_where_there_is_no_name() -> None:
    assert assembled(call(0, "book", '{"a', "a"), call(0, "null", '": 1}', "")) == [("book", {"a": 1})]


def test_ollama_and_gemini_send_two_calls_with_one_index() -> None:
    ollama = (call(0, "book", '{"people": 4}', "a"), call(0, "get_weather", '{"day": "Friday"}', "b"))
    assert assembled(*ollama) == [("book", {"people": 4}), ("get_weather", {"day": "Friday"})]
    gemini = (call(0, "book", '{"people": 4}', ""), call(0, "book", '{"people": 2}', ""))
    assert assembled(*gemini) == [("book", {"people": 4}), ("book", {"people": 2})]
    empty = (call(0, "hang_up", "", "a"), call(0, "book", "", "b"))
    assert assembled(*empty) == [("hang_up", {}), ("book", {})]


def test_vllm_repeats_the_name_and_makes_up_an_id_in_every_piece() -> None:
    pieces = (call(0, "book", '{"peo', "a"), call(0, "book", 'ple": 4}', "b"), call(0, "book", "", "c"))
    assert assembled(*pieces) == [("book", {"people": 4})]


def test_a_name_may_come_in_pieces() -> None:
    assert assembled(call(0, "get_", None, "a"), call(0, "weather", "{}")) == [("get_weather", {})]
    assert assembled(call(0, "book", None, "a"), call(0, "_table", "{}")) == [("book_table", {})]


def test_arguments_that_stand_twice_or_behind_a_placeholder_run_once() -> None:
    placeholder = (call(0, "book", "{}", "a"), call(0, None, '{"people":'), call(0, None, " 4}"))
    assert assembled(*placeholder) == [("book", {"people": 4})]
    assert assembled(call(0, "book", '{"a": 1}', "a"), call(0, None, '{"a": 1}')) == [("book", {"a": 1})]
    grows = (call(0, "book", '{"a"', "a"), call(0, None, '{"a": '), call(0, None, '{"a": 1}'))
    assert assembled(*grows) == [("book", {"a": 1})]


def test_two_calls_in_one_pair_of_arguments_both_run() -> None:
    both = call(0, "book", '{"people": 4}{"people": 2}', "a")
    assert assembled(both) == [("book", {"people": 4}), ("book", {"people": 2})]


@pytest.mark.parametrize("none", ["", None, "null", " ", "{}", '"{}"', {}])
def test_no_arguments_are_no_fault(none: Any) -> None:
    assert assembled(call(0, "hang_up", none, "a")) == [("hang_up", {})]


def test_arguments_may_be_an_object_or_be_encoded_twice() -> None:
    assert assembled(call(0, "book", {"people": 4}, "a")) == [("book", {"people": 4})]
    assert assembled(call(0, "book", json.dumps('{"people": 4}'), "a")) == [("book", {"people": 4})]


@pytest.mark.parametrize(
    "arguments", ['{"people": 4, "day": "Fri', "{", "four", "[4]", "4", '"four"', "{} 4", "[" * 100_000]
)
def test_arguments_that_are_cut_off_or_no_object_are_a_fault(arguments: str) -> None:
    assert assembled(call(0, "book", arguments, "a")) == [("book", None)]


def test_a_call_without_a_name_is_a_fault() -> None:
    assert assembled(call(0, None, '{"people": 4}', "a")) == [(UNNAMED_TOOL, None)]


def test_an_answer_without_an_end_is_held_in_bounds() -> None:
    many = [call(i, "hang_up", "{}", f"id{i}") for i in range(1000)]
    assert len(assembled(*many)) == 64
    long = [call(0, "book", "a" * 10_000, "a"), *[call(0, None, "a" * 10_000)] * 100]
    assert assembled(*long) == [("book", None)]


# ---------------------------------------------------------------------- through pipecat's own service


class Reader:
    """pipecat's service for OpenAI's protocol, which reads answers that are given to it."""

    def __init__(self) -> None:
        self.service = OpenAILLMService(api_key="none", settings=OpenAILLMService.Settings(model="test"))
        self.broken: dict[str, str] = {}
        self._deltas: Sequence[dict[str, Any]] = ()
        self._words: list[str] = []
        self._calls: list[FunctionCallFromLLM] = []
        service: Any = self.service
        service.get_chat_completions = self._ask
        service.push_frame = self._push
        service.run_function_calls = self._run
        mend_answers(self.service, self.broken.__setitem__)

    def read(
        self, deltas: Sequence[dict[str, Any]], context: LLMContext | None = None
    ) -> tuple[str, list[FunctionCallFromLLM]]:
        """The words, and the calls that pipecat would run."""
        self._deltas, self._words, self._calls = deltas, [], []
        service: Any = self.service
        asyncio.run(service._process_context(context or conversation()))
        return "".join(self._words), self._calls

    async def _ask(self, context: LLMContext) -> AsyncIterator[Any]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[Any]:
        for delta in self._deltas:
            calls = delta.get("tool_calls")
            fields = {"content": None, **delta, "tool_calls": calls and [piece(one) for one in calls]}
            choices = [SimpleNamespace(index=0, delta=SimpleNamespace(**fields))]
            yield SimpleNamespace(usage=None, model="test", choices=choices)

    async def _push(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMTextFrame):
            self._words.append(frame.text)

    async def _run(self, calls: Sequence[FunctionCallFromLLM]) -> None:
        self._calls += calls


def conversation(*messages: Any) -> LLMContext:
    schemas = [FunctionSchema(name=name, description="", properties={}, required=[]) for name in KNOWN]
    return LLMContext(list(messages), tools=ToolsSchema(standard_tools=[*schemas]))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_words_beside_a_call_are_said(reader: Reader) -> None:
    deltas = [{"content": "One moment.", "tool_calls": [call(0, "book", "{}", "a")]}]
    words, calls = reader.read(deltas)
    assert words == "One moment."
    assert [one.function_name for one in calls] == ["book"]


def test_the_older_form_of_a_call_runs(reader: Reader) -> None:
    deltas = [
        {"function_call": SimpleNamespace(name="book", arguments='{"a":')},
        {"function_call": SimpleNamespace(name=None, arguments="1}")},
    ]
    assert [(one.function_name, one.arguments) for one in reader.read(deltas)[1]] == [("book", {"a": 1})]


def test_an_id_that_was_used_before_is_replaced(reader: Reader) -> None:
    before = {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": {}}]}
    result = {"role": "tool", "tool_call_id": "call_0", "content": "done"}
    deltas = [{"tool_calls": [call(0, "book", "{}", "call_0"), call(1, "book", "{}", "call_0")]}]
    ids = [one.tool_call_id for one in reader.read(deltas, conversation(before, result))[1]]
    assert len({*ids, "call_0"}) == 3


# ---------------------------------------------------------------------- any stream

Call = tuple[str, str, dict[str, Any] | None]
"""A tool's name, its arguments as they are sent, and as they are meant; None if they are broken."""


def _whole(arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    return json.dumps(arguments), arguments


def _cut(arguments: dict[str, Any], at: int) -> tuple[str, dict[str, Any] | None]:
    text = json.dumps(arguments)
    return text[: 1 + at % (len(text) - 1)], None


objects = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=3
)
arguments = st.one_of(
    objects.map(_whole),
    objects.map(_whole),
    st.builds(_cut, objects, st.integers(0, 1000)),
    st.sampled_from([("", {}), ("null", {}), ("[1]", None), ("four", None)]),
)
calls_of_an_answer = st.lists(st.tuples(st.sampled_from(KNOWN), arguments), min_size=1, max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], list[tuple[str, dict[str, Any] | None]]]:
    """Words, the deltas that bring them and some tool calls, and the calls."""
    calls = [(name, text, meant) for name, (text, meant) in draw(calls_of_an_answer)]
    meant = [(name, given) for name, _, given in calls]
    style = draw(st.sampled_from(["pieces", "whole", "one chunk", "one index", "forced", "placeholder"]))
    no_index = style != "pieces" and draw(st.booleans())
    if no_index or style == "one index":  # only the end of a stream is cut off
        calls = [one for one in calls[:-1] if one[2] is not None] + calls[-1:]
        meant = [(name, given) for name, _, given in calls]
    if style in ("forced", "placeholder"):
        calls, meant = calls[:1], meant[:1]
    first = draw(st.sampled_from([0, 1, 3]))
    ids = draw(st.sampled_from(["good", "none", "empty", "one"])) if style != "one index" else "good"
    made: list[dict[str, Any]] = []
    for number, (name, text, _) in enumerate(calls):
        index = 0 if style == "one index" else None if no_index else first + number
        id = {"good": f"call_{number}", "none": None, "empty": "", "one": "call_0"}[ids]
        # With one index, or none, only whole calls can be told from each other.
        sent = text or ("{}" if no_index or style == "one index" else "")
        if style == "forced":
            made += [
                call(index, name, part, f"random{i}") for i, part in enumerate(draw(parts_of(text))) if part
            ] or [call(index, name, "", "random")]
        elif style in ("pieces", "placeholder"):
            made.append(call(index, name, "{}" if style == "placeholder" else "", id))
            made += [
                call(index, draw(st.sampled_from([None, ""])), part, draw(st.sampled_from([None, "", id])))
                for part in draw(parts_of(text))
            ]
        else:
            made.append(call(index, name, sent, id))
    words = draw(st.lists(st.text(min_size=1, max_size=5), max_size=4))
    deltas: list[dict[str, Any]] = [{"content": word} for word in words[:-1]]
    together = [made] if style == "one chunk" else [[one] for one in made]
    deltas += [{"tool_calls": some} for some in together]
    if words:
        deltas[-1 if draw(st.booleans()) else len(words) - 1]["content"] = words[-1]
    return "".join(words), deltas, meant


@st.composite
def parts_of(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=streams())
def test_every_whole_call_of_any_stream_runs_once_and_every_broken_one_is_reported(
    reader: Reader, answer: tuple[str, list[dict[str, Any]], list[tuple[str, dict[str, Any] | None]]]
) -> None:
    words, deltas, meant = answer
    reader.broken.clear()
    said, calls = reader.read(deltas)
    assert said == words
    ran = [(one.function_name, None if one.tool_call_id in reader.broken else one.arguments) for one in calls]
    assert ran == meant
    assert len({one.tool_call_id for one in calls}) == len(calls)


def test_a_long_argument_in_many_pieces_is_read_at_its_end_and_not_at_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To read 100 KB at each of 20,000 pieces blocked the event loop, and with it all calls, for half a minute."""
    read = tool_deltas._values
    sizes: list[int] = []

    def noted(text: str) -> list[Any]:
        sizes.append(len(text))
        return read(text)

    monkeypatch.setattr(tool_deltas, "_values", noted)
    pieces = ['{"text": "', *["word "] * 2000, '"', "}", "\n"]
    told = assembled(call(0, "book", "", "call_1"), *(call(0, None, text) for text in pieces))
    assert told == [("book", {"text": "word " * 2000})]
    assert len(sizes) < 5
