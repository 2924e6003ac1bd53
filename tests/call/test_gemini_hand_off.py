"""Hand-offs of Gemini Live. `test_every_providers_hand_off.py` has what is so with all providers."""

from __future__ import annotations

import pytest

from tests.support.hand_off_desk import BACK, SUMMARY, TO_BILLING, Desk
from tests.support.hand_offs import Voices
from tests.support.virtual import texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import HALF_CASCADE, MODELS, GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


def test_its_other_model_is_handed_over_and_back() -> None:
    desk = Desk(TO_BILLING, "use look_up", BACK, "hello", kind=GeminiCase, voice="Kore")
    call = desk.call(service={"model": MODELS[1]})
    call.assert_no_error()
    assert [event.data["agent"] for event in call.of("hand_off")] == ["billing", ""]
    assert texts(call, "bot")[-1] == "Desk here."
    assert desk.used == ["look_up"]
    for who, spoken_by, tools, _ in desk.answers:
        assert tools == {"look_up" if who == "Billing" else "open_hours", "hand_off_call"}
        assert spoken_by == ("Kore" if who == "Billing" else "Charon")


def test_its_other_model_may_write_a_summary_that_nobody_hears() -> None:
    desk = Desk(TO_BILLING, "hello", kind=GeminiCase, context="summary")
    call = desk.call(service={"model": MODELS[1]})
    call.assert_no_error()
    assert any(f"What was said before: {SUMMARY}" in message for message in desk.answers[-1][3])
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


def test_with_a_tts_the_voice_is_the_ttss() -> None:
    desk = Desk(TO_BILLING, "hello", BACK, "hello", kind=GeminiCase, voice="amy")
    spoken: list[tuple[str, str]] = []
    call = desk.call(action={"tts": Voices(spoken)}, service={"model": HALF_CASCADE})
    call.assert_no_error()
    for voice, text in spoken:
        assert (voice == "amy") == text.startswith("Billing"), spoken
    assert {voice for _, voice, *_ in desk.answers} == {"Charon"}
