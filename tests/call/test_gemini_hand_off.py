"""A call with Gemini Live is handed over: each time to another session, with what the other one is to know."""

from __future__ import annotations

import pytest

from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import AgentLoss
from tests.support.hand_off_desk import BACK, INTRODUCTION, SUMMARY, TO_BILLING, GeminiDesk
from tests.support.hand_offs import Voices
from tests.support.virtual import texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import HALF_CASCADE, MODELS

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


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


def test_with_a_tts_the_voice_is_the_ttss() -> None:
    desk = GeminiDesk(TO_BILLING, "hello", BACK, "hello", voice="amy")
    spoken: list[tuple[str, str]] = []
    call = desk.call(action={"tts": Voices(spoken)}, service={"model": HALF_CASCADE})
    call.assert_no_error()
    for voice, text in spoken:
        assert (voice == "amy") == text.startswith("Billing"), spoken
    assert {voice for _, voice, *_ in desk.answers} == {"Charon"}
