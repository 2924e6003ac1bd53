"""A call whose model speaks itself is handed over: its session gets other instructions, tools and voice."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.session.hand_off.conversation_change import SUMMARY_S
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
)
from piopiy_pipeline.tools import HandOffError
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.hand_off_desk import BACK, INTRODUCTION, SUMMARY, TO_BILLING, Desk, GeminiDesk
from tests.support.hand_offs import Voices
from tests.support.virtual import YES, texts

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


@pytest.fixture(params=[Desk, GeminiDesk], ids=["openai", "gemini"])
def desk_of(request: pytest.FixtureRequest) -> type[Desk]:
    kind: type[Desk] = request.param
    return kind


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


def test_the_other_one_introduces_itself_and_answers_once(desk_of: type[Desk]) -> None:
    desk = desk_of(TO_BILLING, "hello")
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


def test_the_other_one_may_know_nothing(desk_of: type[Desk]) -> None:
    desk = desk_of(TO_BILLING, "hello", context="fresh")
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


def test_without_a_summary_the_conversation_is_kept_and_the_record_says_so(desk_of: type[Desk]) -> None:
    desk = desk_of(TO_BILLING, "hello", context="summary")
    desk.summary = " "
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert len(call.of("error")) == 1
    assert call.of("hand_off")[0].data["context"] == "keep"
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("drops", [False, True], ids=["stalls", "drops"])
def test_the_caller_waits_for_a_summary_that_fails_no_longer_than_it_may_take(
    desk_of: type[Desk], drops: bool
) -> None:
    desk = desk_of(TO_BILLING, "hello", context="summary")

    def fails() -> str:
        if drops:
            desk.case.server.session.drop()
        raise LookupError  # the server sends nothing

    desk.summarise = fails
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert not any("no progress" in event.data["message"] for event in call.of("error")), call.timeline()
    waited_s = call.of("hand_off")[0].at - call.of("tool")[0].at
    assert waited_s < (2 if drops else SUMMARY_S + 2), call.timeline()
    assert call.of("tool_result")[0].at - call.of("hand_off")[0].at < 1, call.timeline()
    said = " ".join(texts(call, "bot"))
    assert said == "Desk speaking. Billing speaking. Billing here. Billing here.", call.timeline()


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


@pytest.mark.parametrize("other_voice", [False, True])
def test_a_session_that_drops_is_opened_again_as_the_other_one(
    desk_of: type[Desk], other_voice: bool
) -> None:
    desk = desk_of(TO_BILLING, "hello", "hello", voice=desk_of.voices[1] if other_voice else None)

    def watch(agent: VoiceAgent) -> None:
        agent.on(
            "bot_turn", lambda turn: desk.case.server.session.drop() if turn.text == "Billing here." else None
        )

    call = desk.call(watch=watch)
    assert len(call.of("error")) >= 1, "the record says that it was lost"
    for who, spoken_by, tools, _ in desk.answers[1:]:
        its_own = (desk.voices[other_voice], {"look_up", "hand_off_call"})
        assert (who, spoken_by, tools) == ("Billing", *its_own)
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("after", [0.2, 0.5, 0.8, 1.1])
def test_who_speaks_over_the_hand_off_is_answered_by_the_new_one(desk_of: type[Desk], after: float) -> None:
    desk = desk_of(TO_BILLING, "hello", "hello", voice=desk_of.voices[1])

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
