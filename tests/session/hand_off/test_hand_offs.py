"""A call that is handed over: instructions, tools and voice change at once, and a loss of the agent changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.hand_off.persona import personas_in
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Providers,
    Replies,
    ScriptedSTT,
    Tool,
    Transcripts,
    simulate,
)
from piopiy_pipeline.tools import HandOffError, Persona, end_call, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import RECORDING
from tests.support.hand_offs import BACK, TO_BILLING, Desk, Model, Voices, billing_with, who


def test_instructions_tools_and_voice_change_together_and_back() -> None:
    desk = Desk()
    call = desk.call([TO_BILLING, "use look_up", BACK, "hello"])
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    call.assert_said("Billing speaking.")
    call.assert_said("Billing here, knowing 1 turns.")
    call.assert_said("Desk here, knowing 4 turns.")
    assert desk.used == ["look_up"]
    assert {frozenset(tools) for tools, _ in desk.seen} == {
        frozenset({"open_hours", "hand_off_call"}),
        frozenset({"look_up", "hand_off_call"}),
    }
    for tools, messages in desk.seen:
        assert ("look_up" in tools) == (messages[0] == "system: Billing")


def test_no_word_of_the_old_voice_comes_behind_the_new_one() -> None:
    desk = Desk()
    call = desk.call([TO_BILLING, "hello", BACK, "hello"])
    voices = [voice for voice, _ in desk.spoken]
    assert (
        voices
        == sorted(voices, key=["desk voice", "amy"].index)[: voices.index("amy")]
        + voices[voices.index("amy") :]
    )
    changes = [voice for n, voice in enumerate(voices) if not n or voices[n - 1] != voice]
    assert changes == ["desk voice", "amy", "desk voice"]
    for voice, text in desk.spoken:
        assert (voice == "amy") == text.startswith("Billing"), desk.spoken
    call.assert_no_error()


def test_who_speaks_over_the_hand_off_gets_one_answer_by_the_new_one() -> None:
    """The old one is cut off: what it had to say is not said in the new voice, and not behind it."""
    desk = Desk()

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(RECORDING, text=TO_BILLING)
        await line.pause(0.9)
        await line.say(RECORDING, text="hello")
        await line.my_turn()

    call = simulate(desk.bot, caller, providers=Providers(stt=Transcripts(latency=0.2)), limit_s=60)
    voices = [voice for voice, _ in desk.spoken]
    assert "desk voice" not in voices[voices.index("amy") :], desk.spoken
    assert call.turns[-1].bot.startswith("Billing"), call.timeline()


def test_the_other_one_may_know_nothing() -> None:
    desk = Desk(context="fresh")
    call = desk.call([TO_BILLING, "hello"])
    call.assert_no_error()
    messages = desk.seen[-1][1]
    assert messages[0] == "system: Billing"
    assert not any(TO_BILLING in message for message in messages)
    call.assert_said("Billing here, knowing 1 turns.")


def test_the_other_one_may_know_a_summary() -> None:
    desk = Desk(context="summary")
    call = desk.call([TO_BILLING, "hello"])
    call.assert_no_error()
    messages = desk.seen[-1][1]
    assert "What was said before: Ada wants her bill." in messages[1]
    assert not any(TO_BILLING in message for message in messages if message.startswith("user"))


def test_without_a_summary_the_conversation_is_kept_and_the_record_says_so() -> None:
    class Mute(Model):
        summary = None

    desk = Desk(context="summary", model=Mute)
    call = desk.call([TO_BILLING, "hello"])
    assert "no summary (OSError" in call.of("error")[0].data["message"]
    call.assert_said("Billing here, knowing 2 turns.")
    assert call.of("hand_off")[0].data["context"] == "keep"


def test_a_tool_of_the_one_before_does_not_run() -> None:
    desk = Desk()
    call = desk.call([TO_BILLING, "use open_hours"])
    assert desk.used == []
    assert any("There is no tool open_hours" in event.data["message"] for event in call.of("error"))


@pytest.mark.parametrize(
    ("event", "number", "after_s"),
    [
        ("hand_off", 1, 0.0),
        ("hand_off", 1, 0.5),
        ("tool", 1, 0.1),
        ("tool_result", 1, 0.0),
        ("user_turn", 2, 0.1),
        ("bot_turn", 3, 0.2),
    ],
)
def test_who_has_the_call_has_it_after_a_loss(event: str, number: int, after_s: float) -> None:
    desk = Desk()
    call = desk.call(
        [TO_BILLING, "use look_up", "hello", BACK, "hello"], losses=[AgentLoss(event, after_s, number)]
    )
    assert len(call.of("agent_lost")) == 1
    call.assert_said("Billing here")
    assert desk.used == ["look_up"], call.timeline()
    assert call.turns[-1].bot.startswith("Desk here"), call.timeline()
    for voice, text in desk.spoken:
        if text.startswith(("Billing", "Desk")):
            assert (voice == "amy") == text.startswith("Billing"), desk.spoken
    call.assert_no_error()


def test_code_hands_over_and_the_other_one_speaks() -> None:
    desk = Desk(introduction=None)
    persona = billing_with(introduction=None)

    def during(call: Call) -> None:
        call.add_personas(persona)

        async def on_key(digits: str) -> None:
            try:
                await call.hand_over(persona if digits == "1" else None)
            except HandOffError as error:
                desk.refused.append(str(error))
            else:
                desk.used.append(call.persona.name if call.persona else "desk")

        call.on("dtmf", on_key)

    desk.during = during

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        for key in "110":
            await line.press(key)
            await line.my_turn()
            await line.pause(4)

    call = simulate(desk.bot, caller, limit_s=60)
    assert desk.used == ["billing", "desk"]
    assert desk.refused == ["billing has the call already"]
    call.assert_said("Billing here, knowing 0 turns.")
    call.assert_said("Desk here, knowing 0 turns.")


def test_two_that_hand_the_call_to_each_other_come_to_an_end() -> None:
    desk = Desk()

    def ping_pong(context: LLMContext) -> str | Tool:
        messages: list[Any] = context.get_messages()
        if not any(one["role"] == "user" for one in messages):
            return "Hello."
        if "Not handed over" in str(messages[-1].get("content")):
            return "I help you myself."
        return Tool("hand_off_call", to="desk" if messages[0]["content"] == "Billing" else "billing")

    desk.answer = ping_pong  # type: ignore[method-assign]
    call = desk.call(["hello", "hello"])
    assert len(call.of("hand_off")) == 6  # three for each turn of the caller
    call.assert_said("I help you myself.")


def test_wrong_use_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="name is empty"):
        Persona(name=" ", instructions="x")
    with pytest.raises(ValueError, match="there is no language 'klingonisch'"):
        Persona(name="a", instructions="x", language="klingonisch")
    with pytest.raises(TypeError, match="must be 'async def'"):
        Persona(name="a", instructions="x", tools=[lambda: None])
    with pytest.raises(ValueError, match="agents is empty"):
        hand_off_call({})
    with pytest.raises(ValueError, match="'keep', 'summary' or 'fresh'"):
        hand_off_call({"desk": None}, context="all")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a Persona"):
        hand_off_call({"desk": "desk"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Persona(name="a", instructions=" "), "instructions is empty"),
        (lambda: Persona(name="a", instructions="x", voice=""), "voice is empty"),
        (lambda: Persona(name="a", instructions="x", introduction=""), "introduction is empty"),
        (lambda: Persona(name="a", instructions="x", tools=5), "tools must be a list of tools"),  # type: ignore[arg-type]
        (lambda: Persona(name="a", instructions="x", tools=[end_call(), end_call()]), "called 'end_call'"),
        (lambda: hand_off_call({"desk": None}, name="a b"), "name must be of letters"),
        (lambda: hand_off_call({"": None}), "a key of agents is empty"),
        (lambda: hand_off_call({5: None}), "a key of agents must be a text"),  # type: ignore[dict-item]
        (lambda: hand_off_call(5), "must be a mapping"),  # type: ignore[arg-type]
        (
            lambda: hand_off_call({"a": billing_with(), "b": billing_with(instructions="other")}),
            "two different personas are called 'billing'",
        ),
    ],
)
def test_a_wrong_value_of_a_persona_or_a_hand_off_is_one_sentence(
    wrong: Callable[[], Any], said: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        wrong()


def test_a_persona_that_was_made_twice_is_one() -> None:
    first, second = billing_with(tools=[end_call()]), billing_with(tools=[end_call()])
    assert first is not second
    desk = Persona(name="desk", instructions="Desk", tools=[hand_off_call({"a": first, "b": second})])
    assert [persona.name for persona in personas_in(desk.tool_set().handlers)] == ["billing"]


def test_language_and_voice_reach_the_services_and_the_first_ones_come_back() -> None:
    desk = Desk(language="de", voice=None)
    settings: list[tuple[str, str]] = []

    def during(call: Call) -> None:
        def note(_: object) -> None:
            stt, tts = chain["all"]["stt"], chain["all"]["tts"]
            settings.append((str(stt.settings.language), str(tts.settings.language)))

        call.on("bot_turn", note)

    desk.during = during
    chain: dict[str, Any] = {}
    made = VoiceAgent.Action

    async def action(self: VoiceAgent, **given: Any) -> Any:
        pipeline = await made(self, **given)
        chain["all"] = pipeline
        return pipeline

    VoiceAgent.Action = action  # type: ignore[method-assign]
    try:
        call = desk.call([TO_BILLING, BACK, "hello"])
    finally:
        VoiceAgent.Action = made  # type: ignore[method-assign]
    call.assert_no_error()
    assert settings[0] == ("None", "en")
    assert ("de", "de") in settings
    assert settings[-1] == ("None", "en")


def test_what_the_author_has_not_worded_is_said_in_the_language_of_who_has_the_call() -> None:
    desk = Desk(language="de")

    async def caller(line: CallerLine) -> None:
        for text in (TO_BILLING, BACK):
            await line.my_turn()
            await line.say(RECORDING, text=text)
            await line.my_turn()
            await line.pause(25)

    simulate(desk.bot, caller, providers=Providers(stt=Transcripts(latency=0.2)), limit_s=120)
    assert ("amy", "Sind Sie noch da?") in desk.spoken
    assert ("desk voice", "Are you still there?") in desk.spoken


def test_a_voice_may_be_a_service_of_the_list() -> None:
    spoken: list[tuple[str, str]] = []
    refused: list[str] = []

    async def bot(call: Call) -> None:
        desk_voice, billing_voice = Voices(spoken), Voices(spoken)
        billing_voice._settings.voice = "amy"
        back = hand_off_call({"desk": None})
        billing = billing_with(voice=billing_voice, tools=[back])
        agent = VoiceAgent(
            instructions="Desk",
            greeting="Desk speaking.",
            tools=[hand_off_call({"billing": billing})],
            call=call,
        )
        await agent.Action(
            stt=ScriptedSTT(Transcripts(latency=0.2), spoken=lambda start, end: ""),
            llm=Model(Replies(otherwise=who, latency=0.3)),
            tts=[desk_voice, billing_voice],
        )

        async def wrong(_: object) -> None:
            try:
                await agent.hand_over(Persona(name="x", instructions="X", voice=Voices(spoken)))
            except ValueError as error:
                refused.append(str(error))

        agent.on("answered", wrong)
        await agent.start()

    desk = Desk()
    desk.bot = bot  # type: ignore[method-assign]
    call = desk.call([TO_BILLING, "hello", BACK, "hello"])
    call.assert_no_error()
    assert {voice == "amy" for voice, text in spoken if text.startswith("Billing")} == {True}
    assert {voice for voice, text in spoken if text.startswith("Desk")} == {"desk voice"}
    assert "is not among the services that Action(tts=[...]) was given" in refused[0]


def test_what_cannot_be_handed_over_says_so() -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        transport = call.transport()
        with pytest.raises(RuntimeError, match="not answered yet"):
            await call.hand_over(None)

        async def answered(_: object) -> None:
            with pytest.raises(RuntimeError, match="has no model with a context"):
                await call.hand_over(billing_with())
            with pytest.raises(ValueError, match="'keep', 'summary' or 'fresh'"):
                await call.hand_over(None, context="all")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="a Persona"):
                await call.hand_over("billing")  # type: ignore[arg-type]
            said.append("so")

        call.on("answered", answered)
        await call.run(CallPipeline([("in", transport.input()), ("out", transport.output())]))

    simulate(bot, lambda line: line.pause(2), limit_s=20)
    assert said == ["so"]


@pytest.mark.parametrize("losses", [[], [AgentLoss("hand_off", 0.5, 1)]], ids=["goes on", "is lost"])
@pytest.mark.parametrize(
    ("began_with", "told"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [{"role": "system", "content": [{"type": "text", "text": "Desk"}]}], ["Desk"], id="parts"
        ),
    ],
)
def test_who_has_the_call_again_has_the_instructions_that_it_began_with(
    began_with: list[Any], told: list[str], losses: list[AgentLoss]
) -> None:
    seen: list[list[str]] = []

    def answer(context: LLMContext) -> str | Tool:
        messages: list[Any] = context.get_messages()
        seen.append([one["content"] for one in messages if one["role"] == "system"])
        words = str(messages[-1]["content"]).split()
        return Tool("hand_off_call", to=words[-1]) if words[0] == "use" else "Hello."

    async def bot(call: Call) -> None:
        back = hand_off_call({"desk": None})
        agent = VoiceAgent(
            instructions="",
            context=LLMContext(list(began_with)),
            tools=[hand_off_call({"billing": billing_with(tools=[back])})],
            call=call,
        )
        stt = ScriptedSTT(Transcripts(latency=0.2), spoken=lambda start, end: "")
        await agent.Action(stt=stt, llm=Model(Replies(otherwise=answer, latency=0.3)), tts=Voices([]))
        await agent.start()

    desk = Desk()
    desk.bot = bot  # type: ignore[method-assign]
    call = desk.call([TO_BILLING, BACK, "hello"], losses=losses)
    assert len(call.of("agent_lost")) == len(losses)
    assert ["Billing"] in seen
    assert seen[-1] == told, call.timeline()
