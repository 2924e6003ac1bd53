"""Values that the model has collected by a tool, or reads itself; in German, in secret; and wrong uses."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, cast

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.collect import (
    Collected,
    as_tool,
    collect_address,
    collect_date,
    collect_digits,
    collect_phone_number,
    confirm,
)
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Tool,
    simulate,
)
from tests.support.collected_kinds import KINDS, TODAY
from tests.support.collecting import VOICE, Form, collected_in, say, says, value_of

pytestmark = pytest.mark.usefixtures("either_bot")


# ---------------------------------------------------------------------- by the model, in German, and in secret


def test_the_model_has_a_number_collected_by_a_tool_and_the_tool_survives_a_loss() -> None:
    tool = as_tool(collect_phone_number, when="you need a number", region="DE")

    def model(context: LLMContext) -> str | Tool:
        done = any("+4930123456" in str(message) for message in context.get_messages())
        return "We will call you back." if done else Tool("collect_phone_number")

    caller = say("please call me back", "zero three zero one two three", "four five six", "yes")
    for losses in ([], [AgentLoss("user_turn", 0.05, number=3)]):
        _, call = collected_in(
            lambda call: asyncio.sleep(0), caller, otherwise=model, tools=[tool], losses=losses
        )
        call.assert_said("We will call you back")
        assert call.said.count("What is your telephone number") == 1
        assert call.said.count("call you back") == 1
        assert "One moment" not in call.said  # nobody waits for the tool
        assert bool(call.of("agent_lost")) == bool(losses)


def test_a_tool_asks_anew_when_it_is_used_again() -> None:
    tool = as_tool(collect_digits, when="you need a code", length=4, prompt="The code?")
    uses = 0

    def model(context: LLMContext) -> str | Tool:
        nonlocal uses
        last = str(context.get_messages()[-1])
        if "again" in last or not uses:
            uses += 1
            return Tool("collect_digits")
        return "Thank you."

    caller = says(Caller(), "hello", "one two three four", "again please", "five six seven eight")
    _, call = collected_in(lambda call: asyncio.sleep(0), caller, otherwise=model, tools=[tool])
    values = [event.data["value"] for event in call.of("collection") if event.data["outcome"] == "collected"]
    assert values == ["1234", "5678"]


@pytest.mark.three_services("test_realtime_collecting.py has a model that reads beside the conversation")
def test_the_model_reads_what_the_code_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def run_inference(self: ScriptedLLM, context: LLMContext, **options: Any) -> str:
        asked.extend(str(message) for message in context.get_messages())
        return "2027-03-01"

    monkeypatch.setattr(ScriptedLLM, "run_inference", run_inference)
    form: Form = lambda call: collect_date(call, prompt="On which day?", today=TODAY)  # noqa: E731
    outcomes, call = collected_in(form, say("the first Monday in March", "yes"))
    assert value_of(outcomes) == date(2027, 3, 1)
    call.assert_said("I have Monday, March 1, 2027")
    assert "today is Sunday, 2026-11-29" in asked[0]
    assert len(asked) == 2

    outcomes, call = collected_in(
        lambda call: collect_date(call, prompt="On which day?", today=TODAY, redact=True),
        say("the first Monday", "next Friday", "yes"),
    )
    assert value_of(outcomes) == date(2026, 12, 4)
    assert len(asked) == 2  # a secret is not for the model


@pytest.mark.parametrize(("after_s", "times"), [(1.0, 2), (3.6, 1)])
def test_a_yes_over_a_value_that_was_not_heard_yet_does_not_count(
    after_s: float, times: int, either_bot: str
) -> None:
    if either_bot != "three services":
        after_s *= 0.65  # it says digits in its own way, and shorter

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(VOICE, text="zero three zero one two three four five six")
        await line.speech(after=after_s)
        await line.say(VOICE, text="yes")
        await line.my_turn()
        if times == 2:
            await line.say(VOICE, text="yes")
        await line.pause(3)

    outcomes, call = collected_in(KINDS["phone_number"].form, caller)
    assert value_of(outcomes) == "+4930123456"
    assert call.said.count("I have 0 3 0") == times


def test_german() -> None:
    async def form(call: Call) -> Any:
        number = await collect_phone_number(call, region="DE")
        day = await collect_date(call, today=TODAY)
        return number.value, day.value

    pytest.importorskip("dateparser")
    caller = say(
        "null drei null eins zwei drei vier fünf fünf",
        "nein, die letzte Ziffer ist sechs",
        "ja, genau",
        "wie bitte?",
        "nächsten Freitag",
        "ja",
    )
    outcomes, call = collected_in(form, caller, language="de")
    assert outcomes == [("+4930123456", date(2026, 12, 4))]
    assert call.said.count("An welchem Tag") == 2
    call.assert_said("Freitag, 4. Dezember 2026")


def test_a_secret_is_kept_out_of_the_conversation_and_the_events() -> None:
    seen: list[str] = []

    def model(context: LLMContext) -> str:
        seen.append(str(context.get_messages()))
        return "Thank you."

    async def form(call: Call) -> Collected[str]:
        pin = await collect_digits(call, prompt="What is your PIN?", length=4, read_back=True, redact=True)
        await call.respond()
        return pin

    outcomes, call = collected_in(form, say("four one five seven", "yes"), otherwise=model)
    assert value_of(outcomes) == "4157"
    assert seen
    assert "four one five" not in seen[-1]
    assert "4 1 5" not in seen[-1]
    assert "[redacted]" in seen[-1]
    assert all(event.data["value"] is None for event in call.of("collection"))


@pytest.mark.parametrize("redact", [False, True])
def test_what_is_typed_in_a_page_is_the_value_and_no_question_to_the_model(redact: bool) -> None:
    seen: list[list[Any]] = []

    def model(context: LLMContext) -> str:
        messages: list[Any] = context.get_messages()
        seen.append([one["content"] for one in messages if one.get("role") == "user"])
        return "Thank you."

    async def form(call: Call) -> Collected[str]:
        await collect_digits(call, prompt="Which floor?", length=1)
        pin = await collect_digits(call, prompt="What is your PIN?", length=4, redact=redact)
        await asyncio.sleep(3)
        assert seen == []
        await call.respond()
        return pin

    async def caller(line: CallerLine) -> None:
        about = {"version": "2.1.0", "about": {"library": "a page"}}
        line.send({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": about})
        await line.my_turn()
        await line.say(VOICE, text="three")
        await line.pause(4)
        line.send({"label": "rtvi-ai", "type": "send-text", "id": "2", "data": {"content": "4157"}})
        await line.pause(8)

    outcomes, call = collected_in(form, caller, otherwise=model)
    assert value_of(outcomes) == "4157", call.timeline()
    assert seen == [["three", "[redacted]" if redact else "4157"]]


def test_a_value_that_a_key_has_asked_for_is_asked_for_anew_after_a_loss() -> None:
    async def form(call: Call) -> None:
        async def ask(_: object) -> None:
            await collect_digits(call, prompt="Which code?", length=4)

        call.on("dtmf", lambda keys: ask(keys) if keys == "*" else None)

    caller = Caller().pause(1).press("*").until("Which code").pause(0.5).press("4157").pause(4)
    caller = caller.press("*").until("Which code").pause(0.5).press("4158").pause(4)
    _, call = collected_in(form, caller, losses=[AgentLoss("collection", 1.0, number=2)])
    values = [event.data["value"] for event in call.of("collection") if event.data["outcome"] == "collected"]
    assert values == ["4157", "4158"]
    assert call.of("agent_lost")


def test_two_values_at_a_time_are_an_error() -> None:
    async def form(call: Call) -> Any:
        first = asyncio.ensure_future(collect_digits(call, length=4))
        await asyncio.sleep(0.1)
        with pytest.raises(RuntimeError, match="one value after the other"):
            await confirm(call, "Really?")
        return await first

    outcomes, _ = collected_in(form, say("four one five seven"))
    assert value_of(outcomes) == "4157"


@pytest.mark.parametrize(
    ("form", "error", "says"),
    [
        (lambda call: collect_digits(call, length=0), ValueError, "length"),
        (lambda call: collect_digits(call, length=(5, 4)), ValueError, "at least and at most"),
        (lambda call: collect_digits(call, checksum=cast(Any, "mod11")), TypeError, "luhn"),
        (lambda call: collect_phone_number(call, region="XX"), ValueError, "code of a country"),
        (lambda call: collect_date(call, time_zone="Mars/Olympus"), ValueError, "no such zone"),
        (
            lambda call: collect_date(call, earliest=TODAY, latest=date(2026, 1, 1)),
            ValueError,
            "later than latest",
        ),
        (lambda call: collect_digits(call, attempts=0), ValueError, "attempts"),
        (lambda call: confirm(call, cast(Any, None)), TypeError, "prompt"),
        (lambda call: confirm(cast(Any, "call"), "Really?"), TypeError, "call"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(form: Form, error: type[Exception], says: str) -> None:
    outcomes, _ = collected_in(form, Caller().pause(1))
    assert isinstance(outcomes[0], error)
    assert says in str(outcomes[0])


@pytest.mark.parametrize("answer", [say("four one five seven"), say().press("4157")], ids=["voice", "keys"])
def test_what_a_checksum_raises_comes_to_whoever_waits_for_the_value(answer: Caller) -> None:
    def checksum(digits: str) -> bool:
        raise LookupError(f"no table for {digits}")

    outcomes, call = collected_in(lambda call: collect_digits(call, length=4, checksum=checksum), answer)
    assert isinstance(outcomes[0], LookupError)
    assert "test_collected_by_tools.py:" in error_text(outcomes[0])
    assert [event.data["outcome"] for event in call.of("collection")] == ["begun", "cancelled"]


def test_a_part_that_is_wrong_is_asked_for_alone() -> None:
    answer = say("23 Maine Street, Portland, Oregon 97201", "no, the street is wrong", "Main Street", "yes")
    outcomes, call = collected_in(lambda call: collect_address(call, region="US"), answer)
    assert value_of(outcomes).text == "23 Main Street, Portland, Oregon 97201"
    assert call.said.count("What is your address") == 1
    call.assert_said("And the street?")


def test_a_chain_in_which_nothing_keeps_the_model_quiet_is_refused() -> None:
    found: list[BaseException] = []

    async def bot(call: Call) -> None:
        context = LLMContext([])
        pipeline = CallPipeline.voice(
            call,
            stt=ScriptedSTT(spoken=lambda start, end: ""),
            llm=ScriptedLLM(Replies()),
            tts=ScriptedTTS(),
            context=context,
        )
        pipeline.insert("second", ScriptedLLM(Replies()), after="llm", wants_audio=False)

        async def form(_: object) -> None:
            try:
                await confirm(call, "Really?")
            except StageError as error:
                found.append(error)

        call.on("answered", form)
        await call.run(pipeline)

    simulate(bot, Caller().pause(1), limit_s=20)
    assert "one model" in str(found[0])


def test_a_tool_with_a_wrong_argument_is_refused_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="region"):
        as_tool(collect_phone_number, when="you need it")
