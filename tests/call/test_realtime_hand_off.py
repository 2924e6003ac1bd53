"""Hand-offs of OpenAI's model that speaks itself. `test_every_providers_hand_off.py` has what is so with all."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.session.realtime.words_of_caller import WordsOfCaller
from piopiy_pipeline.testing import Caller
from piopiy_pipeline.tools import HandOffError
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.hand_off_desk import BACK, SUMMARY, TO_BILLING, Desk
from tests.support.hand_offs import Voices
from tests.support.virtual import recorded_apology_heard, texts


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


@pytest.mark.parametrize("action", [{"turns": "smart"}, {"interruption": "immediate"}])
def test_a_summary_is_heard_by_nobody_whoever_ends_the_turns(action: dict[str, Any]) -> None:
    desk = Desk(TO_BILLING, "hello", context="summary")
    call = desk.call(action=action)
    call.assert_no_error()
    assert any(f"What was said before: {SUMMARY}" in message for message in desk.answers[-1][3])
    assert SUMMARY not in call.said
    assert texts(call, "bot")[-1] == "Billing here."


def test_the_instructions_of_who_has_the_call_replace_those_that_the_service_was_made_with() -> None:
    """pipecat prefers the service's own to those of the conversation."""
    desk = Desk(TO_BILLING, "hello")
    own = OpenAIRealtimeLLMService.Settings(system_instruction="Service")
    call = desk.call(service={"settings": own})
    assert [who for who, *_ in desk.answers] == ["Service", "Billing", "Billing"]
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


def test_a_session_whose_change_fails_as_nobody_has_foreseen_is_opened_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle, settled = WordsOfCaller.settle, []

    async def fail_once(words: WordsOfCaller) -> None:
        settled.append(words)
        if len(settled) == 2:  # the hand-off has had them settled itself
            raise LookupError
        await settle(words)

    monkeypatch.setattr(WordsOfCaller, "settle", fail_once)
    desk = Desk(TO_BILLING, "hello", voice="cedar")
    call = desk.call()
    assert len(settled) > 1, "another voice is another session"
    assert texts(call, "bot")[-1] == "Billing here.", call.timeline()


def test_a_session_that_is_lost_while_a_summary_is_written_is_opened_again_quietly() -> None:
    desk = Desk(TO_BILLING, "hello", context="summary")

    def fails() -> str:
        desk.case.server.refuse(2)
        desk.case.server.session.drop()
        raise LookupError  # the server sends nothing

    desk.summarise = fails
    call = desk.call()
    lost, summary = sorted(str(event.data["message"]) for event in call.of("error"))
    assert "no summary" in lost + summary
    assert "opened again" in lost + summary
    assert not recorded_apology_heard(call)
    assert texts(call, "bot")[-1] == "Billing here.", call.timeline()
