"""A call with Gemini Live is handed over: each time to another session, with what the other one is to know."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import AgentLoss, CallerLine, Tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_realtime_hand_off import BACK, INTRODUCTION, SUMMARY, TO_BILLING, Desk
from tests.support.hand_offs import Voices
from tests.support.virtual import YES, texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import HALF_CASCADE, MODELS, GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


class GeminiDesk(Desk):
    """The same with Google's model. What tools return, a new session is told as words of the caller."""

    def __init__(self, *words: str, **options: Any) -> None:
        super().__init__(*words, kind=GeminiCase, **options)

    def _answer(self, context: LLMContext) -> str | Tool:
        messages = [dict(one) for one in context.get_messages() if isinstance(one, dict)]
        for one in messages:
            if str(one.get("content")).startswith(
                ("[Function ", "(Your last answer", "The caller has inter")
            ):
                one["role"] = "developer"
        return super()._answer(LLMContext(messages, tools=context.tools))  # type: ignore[arg-type]

    def voice(self) -> str:
        return str(self.case.server.session.voice)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("voice", [None, "Kore"])
def test_instructions_tools_and_voice_change_together_and_back(voice: str | None, model: str) -> None:
    desk = GeminiDesk(TO_BILLING, "use look_up", BACK, "hello", voice=voice)
    call = desk.call(service={"model": model})
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    said = texts(call, "bot")
    assert said[0] == "Desk speaking."
    assert " ".join(said).count(INTRODUCTION) == 1
    assert said[-1] == "Desk here."
    assert desk.used == ["look_up"]
    for who, spoken_by, tools, _ in desk.answers:
        assert tools == {"look_up" if who == "Billing" else "open_hours", "hand_off_call"}
        assert spoken_by == (voice if voice and who == "Billing" else "Charon")
    assert {who for who, *_ in desk.answers} == {"Desk", "Billing"}
    assert "user: use look_up" in desk.answers[-1][3], "the conversation goes on"


def test_the_other_one_introduces_itself_and_answers_once() -> None:
    desk = GeminiDesk(TO_BILLING, "hello")
    call = desk.call()
    call.assert_no_error()
    assert " ".join(texts(call, "bot")) == "Desk speaking. Billing speaking. Billing here. Billing here."


def test_the_other_one_may_know_nothing() -> None:
    desk = GeminiDesk(TO_BILLING, "hello", context="fresh")
    call = desk.call()
    call.assert_no_error()
    who, _, _, told = desk.answers[-1]
    assert who == "Billing"
    assert not any(TO_BILLING in message for message in told)
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("model", MODELS)
def test_the_other_one_may_know_a_summary_that_nobody_hears(model: str) -> None:
    desk = GeminiDesk(TO_BILLING, "hello", context="summary")
    call = desk.call(service={"model": model})
    call.assert_no_error()
    assert call.of("hand_off")[0].data["context"] == "summary"
    told = desk.answers[-1][3]
    assert any(f"What was said before: {SUMMARY}" in message for message in told)
    assert not any(TO_BILLING in message for message in told)
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


def test_without_a_summary_the_conversation_is_kept_and_the_record_says_so() -> None:
    desk = GeminiDesk(TO_BILLING, "hello", context="summary")
    desk.summary = " "
    call = desk.call()
    assert "no summary" in call.of("error")[0].data["message"]
    assert len(call.of("error")) == 1
    assert any(TO_BILLING in message for message in desk.answers[-1][3])
    assert texts(call, "bot")[-1] == "Billing here."


MOMENTS = [("hand_off", 1, 0.0), ("hand_off", 1, 0.5), ("tool_result", 1, 0.0), ("user_turn", 2, 0.1)]


@pytest.mark.parametrize("context", ["keep", "summary", "fresh"])
@pytest.mark.parametrize(("event", "number", "after_s"), MOMENTS)
def test_who_has_the_call_has_it_after_a_loss(
    event: str, number: int, after_s: float, context: HandOffContext
) -> None:
    desk = GeminiDesk(TO_BILLING, "use look_up", "hello", BACK, "hello", voice="Kore", context=context)
    call = desk.call([AgentLoss(event, after_s, number)])
    assert len(call.of("agent_lost")) == 1
    assert desk.used == ["look_up"], call.timeline()
    assert texts(call, "bot")[-1] == "Desk here.", call.timeline()
    for who, spoken_by, tools, _ in desk.answers:
        assert ("look_up" in tools) == (who == "Billing")
        assert spoken_by == ("Kore" if who == "Billing" else "Charon")
    call.assert_no_error()


def test_a_session_that_drops_is_opened_again_as_the_other_one() -> None:
    desk = GeminiDesk(TO_BILLING, "hello", "hello", voice="Kore")

    def watch(agent: VoiceAgent) -> None:
        agent.on(
            "bot_turn", lambda turn: desk.case.server.session.drop() if turn.text == "Billing here." else None
        )

    call = desk.call(watch=watch)
    assert len(call.of("error")) >= 1, "the record says that it was lost"
    for who, spoken_by, tools, _ in desk.answers[1:]:
        assert (who, spoken_by, tools) == ("Billing", "Kore", {"look_up", "hand_off_call"})
    assert texts(call, "bot")[-1] == "Billing here."


@pytest.mark.parametrize("after", [0.2, 0.5, 0.8, 1.1])
def test_who_speaks_over_the_hand_off_is_answered_by_the_new_one(after: float) -> None:
    desk = GeminiDesk(TO_BILLING, "hello", "hello", voice="Kore")

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


def test_with_a_tts_the_voice_is_the_ttss() -> None:
    desk = GeminiDesk(TO_BILLING, "hello", BACK, "hello", voice="amy")
    spoken: list[tuple[str, str]] = []
    call = desk.call(action={"tts": Voices(spoken)}, service={"model": HALF_CASCADE})
    call.assert_no_error()
    for voice, text in spoken:
        assert (voice == "amy") == text.startswith("Billing"), spoken
    assert {voice for _, voice, *_ in desk.answers} == {"Charon"}
