"""A call is handed over with a model whose prompt, tools and voice are for as long as a session lasts: each time to
another one, with what the other persona is to know.
"""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import AgentLoss, CallerLine, Tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.hand_off_desk import BACK, INTRODUCTION, SUMMARY, TO_BILLING, Desk
from tests.support.realtime_providers import NovaCase, UltravoxCase
from tests.support.told_notes import without_notes
from tests.support.virtual import YES, texts

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
VOICE = "54ebeae1-88df-4d66-af13-6c41283b4332"


class RenewedDesk(Desk):
    """The same, with the notes that its model is told."""

    def __init__(self, kind: Any, *words: str, **options: Any) -> None:
        super().__init__(*words, kind=kind, **options)

    def _answer(self, context: LLMContext) -> str | Tool:
        return super()._answer(without_notes(context))

    def voice(self) -> str:
        return str(self.case.server.session.voice)


KINDS = pytest.mark.parametrize("kind", [UltravoxCase, NovaCase])


@KINDS
@pytest.mark.parametrize("voice", [None, VOICE])
def test_instructions_tools_and_voice_change_together_and_back(voice: str | None, kind: Any) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "use look_up", BACK, "hello", voice=voice)
    call = desk.call()
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    said = texts(call, "bot")
    assert said[0] == "Desk speaking."
    assert " ".join(said).count(INTRODUCTION) == 1
    assert said[-1] == "Desk here."
    assert desk.used == ["look_up"]
    first = desk.answers[0][1]
    for who, spoken_by, tools, _ in desk.answers:
        assert tools == {"look_up" if who == "Billing" else "open_hours", "hand_off_call"}
        assert spoken_by == (voice if voice and who == "Billing" else first)
    assert {who for who, *_ in desk.answers} == {"Desk", "Billing"}
    assert any(message.endswith("use look_up") for message in desk.answers[-1][3]), "the conversation goes on"


@KINDS
def test_the_other_one_introduces_itself_and_answers_once(kind: Any) -> None:
    call = RenewedDesk(kind, TO_BILLING, "hello").call()
    call.assert_no_error()
    assert " ".join(texts(call, "bot")) == "Desk speaking. Billing speaking. Billing here. Billing here."


@KINDS
def test_the_other_one_may_know_nothing(kind: Any) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "hello", context="fresh")
    call = desk.call()
    call.assert_no_error()
    who, _, _, told = desk.answers[-1]
    assert who == "Billing"
    assert not any(TO_BILLING in message for message in told)
    assert texts(call, "bot")[-1] == "Billing here."


@KINDS
def test_the_other_one_may_know_a_summary_that_nobody_hears(kind: Any) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "hello", context="summary")
    call = desk.call()
    call.assert_no_error()
    assert call.of("hand_off")[0].data["context"] == "summary"
    told = desk.answers[-1][3]
    assert any(f"What was said before: {SUMMARY}" in message for message in told)
    assert not any(TO_BILLING in message for message in told)
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


@KINDS
@pytest.mark.parametrize("context", ["keep", "summary", "fresh"])
@pytest.mark.parametrize(("event", "number", "after_s"), [("hand_off", 1, 0.5), ("tool_result", 1, 0.0)])
def test_who_has_the_call_has_it_after_a_loss(
    event: str, number: int, after_s: float, context: HandOffContext, kind: Any
) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "use look_up", "hello", BACK, "hello", voice=VOICE, context=context)
    call = desk.call([AgentLoss(event, after_s, number)])
    assert len(call.of("agent_lost")) == 1
    assert desk.used == ["look_up"], call.timeline()
    assert texts(call, "bot")[-1] == "Desk here.", call.timeline()
    for who, spoken_by, tools, _ in desk.answers:
        assert ("look_up" in tools) == (who == "Billing")
        assert (spoken_by == VOICE) == (who == "Billing")
    call.assert_no_error()


@KINDS
def test_a_session_that_drops_is_opened_again_as_the_other_one(kind: Any) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "hello", "hello", voice=VOICE)

    def watch(agent: VoiceAgent) -> None:
        agent.on(
            "bot_turn", lambda turn: desk.case.server.session.drop() if turn.text == "Billing here." else None
        )

    call = desk.call(watch=watch)
    assert len(call.of("error")) >= 1, "the record says that it was lost"
    for who, spoken_by, tools, _ in desk.answers[1:]:
        assert (who, spoken_by, tools) == ("Billing", VOICE, {"look_up", "hand_off_call"})
    assert texts(call, "bot")[-1] == "Billing here."


@KINDS
@pytest.mark.parametrize("after", [0.5, 0.8, 1.1])
def test_who_speaks_over_the_hand_off_is_answered_by_the_new_one(after: float, kind: Any) -> None:
    desk = RenewedDesk(kind, TO_BILLING, "hello", "hello", voice=VOICE)

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
