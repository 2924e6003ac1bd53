"""A call whose model speaks itself is handed over: its session gets other instructions, tools and voice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
)
from piopiy_pipeline.tools import HandOffError, Persona, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import tools_of
from tests.support.hand_offs import Voices
from tests.support.realtime_calls import Case
from tests.support.virtual import YES, texts

TO_BILLING = "use hand_off_call billing"
BACK = "use hand_off_call desk"
INTRODUCTION = "Billing speaking."
SUMMARY = "Ada wants her bill."


class Desk:
    """A bot that hands over to billing, and what its model was told whenever it answered."""

    def __init__(
        self, *words: str, context: HandOffContext = "keep", kind: type[Case] = Case, **billing: Any
    ) -> None:
        self.case = kind()
        self.case.server = kind.make_server(
            Replies(otherwise=self._answer), ears=Transcripts(texts=list(words), latency=0.2)
        )
        self.words = words
        self.context: HandOffContext = context
        self.billing = billing
        self.answers: list[tuple[str, str, set[str], list[str]]] = []
        """Instructions, voice, tools and messages of each."""
        self.used: list[str] = []
        self.summary = SUMMARY

    def _answer(self, context: LLMContext) -> str | Tool:
        messages: list[Any] = context.get_messages()
        if any(str(one.get("content")).startswith("Below is the beginning") for one in messages):
            return self.summary
        told = [f"{one['role']}: {one.get('content')}" for one in messages]
        who, said = (
            str(messages[0]["content"]),
            [str(one.get("content")) for one in messages if one["role"] == "user"],
        )
        self.answers.append((who, self.voice(), tools_of(context), told))
        if messages[-1]["role"] == "user" and said[-1].startswith("use "):
            _, tool, *to = said[-1].split()
            return Tool(tool, to=" ".join(to)) if to else Tool(tool)
        return f"{who} here."

    def voice(self) -> str:
        """The voice of the session that answers now."""
        return str(self.case.server.session.config.voice)

    def agent(self) -> dict[str, Any]:
        async def look_up(params: FunctionCallParams) -> str:
            """Look up a bill."""
            self.used.append("look_up")
            return "nine dollars"

        async def open_hours(params: FunctionCallParams) -> str:
            """Say when it is open."""
            self.used.append("open_hours")
            return "always"

        self.persona = Persona(
            **{
                "name": "billing",
                "instructions": "Billing",
                "introduction": INTRODUCTION,
                "tools": [look_up, hand_off_call({"desk": None}, context=self.context)],
                **self.billing,
            }
        )
        tools = [open_hours, hand_off_call({"billing": self.persona}, context=self.context)]
        return {"instructions": "Desk", "greeting": "Desk speaking.", "tools": tools}

    def call(
        self,
        losses: Sequence[AgentLoss] = (),
        watch: Callable[[VoiceAgent], None] = lambda _: None,
        caller: Any = None,
        **more: Any,
    ) -> SimulatedCall:
        if caller is None:
            caller = Caller()
            for _ in self.words:
                caller = caller.say(YES)
        return self.case.call(caller, agent=self.agent(), losses=losses, watch=watch, **more)


def test_instructions_and_tools_of_the_session_change_together_and_back() -> None:
    desk = Desk(TO_BILLING, "use look_up", BACK, "hello")
    call = desk.call()
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    said = texts(call, "bot")
    assert said[0] == "Desk speaking."
    assert " ".join(said).count(INTRODUCTION) == 1
    assert said[-1] == "Desk here."
    assert desk.used == ["look_up"]
    for who, _, tools, _ in desk.answers:
        assert tools == {"look_up" if who == "Billing" else "open_hours", "hand_off_call"}
    assert {who for who, *_ in desk.answers} == {"Desk", "Billing"}
    assert len(desk.case.server.sessions) == 1, "the session goes on"
    assert "user: use look_up" in desk.answers[-1][3], "and so does the conversation"


def test_the_other_one_introduces_itself_and_answers_once() -> None:
    desk = Desk(TO_BILLING, "hello")
    call = desk.call()
    call.assert_no_error()
    assert " ".join(texts(call, "bot")) == "Desk speaking. Billing speaking. Billing here. Billing here."


def test_another_voice_is_another_session_with_the_conversation() -> None:
    desk = Desk(TO_BILLING, "hello", BACK, "hello", voice="cedar")
    call = desk.call()
    call.assert_no_error()
    assert {(who, voice) for who, voice, *_ in desk.answers} == {("Desk", "None"), ("Billing", "cedar")}
    assert len(desk.case.server.sessions) == 3
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    said = texts(call, "bot")
    assert said[-1] == "Desk here."
    assert " ".join(said).count(INTRODUCTION) == 1
    assert texts(call, "user") == [TO_BILLING, "hello", BACK, "hello"]


def test_the_other_one_may_know_nothing() -> None:
    desk = Desk(TO_BILLING, "hello", context="fresh")
    call = desk.call()
    call.assert_no_error()
    who, _, _, told = desk.answers[-1]
    assert who == "Billing"
    assert not any(TO_BILLING in message for message in told)
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("voice", [None, "cedar"])
@pytest.mark.parametrize(
    ("event", "number", "after_s"),
    [
        ("hand_off", 1, 0.0),
        ("hand_off", 1, 0.5),
        ("tool", 1, 0.28),
        ("tool_result", 1, 0.0),
        ("user_turn", 2, 0.1),
    ],
)
def test_who_has_the_call_has_it_after_a_loss(
    event: str, number: int, after_s: float, voice: str | None
) -> None:
    desk = Desk(TO_BILLING, "use look_up", "hello", BACK, "hello", voice=voice)
    call = desk.call([AgentLoss(event, after_s, number)])
    assert len(call.of("agent_lost")) == 1
    assert desk.used == ["look_up"], call.timeline()
    assert texts(call, "bot")[-1] == "Desk here.", call.timeline()
    for who, spoken_by, tools, _ in desk.answers:
        assert ("look_up" in tools) == (who == "Billing")
        assert spoken_by == str(voice if who == "Billing" else None)
    call.assert_no_error()


def test_code_hands_over_and_who_has_the_call_already_is_an_error() -> None:
    desk, refused, had = Desk(introduction=None), [], []

    def watch(agent: VoiceAgent) -> None:
        async def on_key(digits: str) -> None:
            try:
                await agent.hand_over(desk.persona if digits == "1" else None)
            except HandOffError as error:
                refused.append(str(error))
            else:
                had.append(agent.call.persona.name if agent.call.persona else "desk")

        agent.on("dtmf", on_key)

    caller = Caller().press("1").pause(6).press("1").pause(6).press("0").pause(6)
    call = desk.call(watch=watch, caller=caller)
    assert had == ["billing", "desk"]
    assert refused == ["billing has the call already"]
    assert texts(call, "bot") == ["Desk speaking.", "Billing here.", "Desk here."]


@pytest.mark.parametrize("action", [{}, {"turns": "smart"}, {"interruption": "immediate"}])
def test_the_other_one_may_know_a_summary_that_nobody_hears(action: dict[str, Any]) -> None:
    desk = Desk(TO_BILLING, "hello", context="summary")
    call = desk.call(action=action)
    call.assert_no_error()
    assert call.of("hand_off")[0].data["context"] == "summary"
    told = desk.answers[-1][3]
    assert any(f"What was said before: {SUMMARY}" in message for message in told)
    assert not any(TO_BILLING in message for message in told)
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


def test_without_a_summary_the_conversation_is_kept_and_the_record_says_so() -> None:
    desk = Desk(TO_BILLING, "hello", context="summary")
    desk.summary = " "
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert len(call.of("error")) == 1
    assert call.of("hand_off")[0].data["context"] == "keep"
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    assert texts(call, "bot")[-1] == "Billing here."


def test_with_a_tts_the_voice_is_the_ttss_and_the_session_goes_on() -> None:
    desk = Desk(TO_BILLING, "hello", BACK, "hello", voice="amy")
    spoken: list[tuple[str, str]] = []
    call = desk.call(action={"tts": Voices(spoken)})
    call.assert_no_error()
    voices = [voice for voice, _ in spoken]
    changes = [voice for n, voice in enumerate(voices) if not n or voices[n - 1] != voice]
    assert changes == ["desk voice", "amy", "desk voice"]
    for voice, text in spoken:
        assert (voice == "amy") == text.startswith("Billing"), spoken
    assert {voice for _, voice, *_ in desk.answers} == {"None"}
    assert len(desk.case.server.sessions) == 1


@pytest.mark.parametrize("voice", [None, "cedar"])
def test_a_session_that_drops_is_opened_again_as_the_other_one(voice: str | None) -> None:
    desk = Desk(TO_BILLING, "hello", "hello", voice=voice)

    def watch(agent: VoiceAgent) -> None:
        agent.on(
            "bot_turn", lambda turn: desk.case.server.session.drop() if turn.text == "Billing here." else None
        )

    call = desk.call(watch=watch)
    assert len(call.of("error")) >= 1, "the record says that it was lost"
    assert {who for who, *_ in desk.answers[1:]} == {"Billing"}
    for who, spoken_by, tools, _ in desk.answers[1:]:
        assert (spoken_by, tools) == (str(voice), {"look_up", "hand_off_call"}), who
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("after", [0.2, 0.5, 0.8, 1.1])
def test_who_speaks_over_the_hand_off_is_answered_by_the_new_one(after: float) -> None:
    desk = Desk(TO_BILLING, "hello", "hello", voice="cedar")

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(YES)
        await line.pause(after)
        await line.say(YES)
        await line.my_turn()
        await line.say(YES)
        await line.my_turn()

    call = desk.call(caller=caller)
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing"]
    assert texts(call, "bot")[-1] == "Billing here.", call.timeline()
    assert not call.of("error")
