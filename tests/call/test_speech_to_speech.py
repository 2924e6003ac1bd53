"""A model that hears and speaks itself, by OpenAI's protocol and pipecat's own service. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import ErrorFrame, LLMServiceMetadataFrame
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    Refused,
    Stalls,
    Voice,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.services import ScriptedLLM, ScriptedSTT
from tests.support.virtual import PEOPLE, YES, recorded_apology_heard, spoken_s, texts

TWO = ["a table please", "yes"]


def test_a_whole_call() -> None:
    case = Case("A table for two.", "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = [GREETING, "A table for two.", "Goodbye."]
    assert texts(call, "bot") == said
    assert texts(call, "user") == ["a table please", "yes"]
    kept = [message["content"] for message in case.context]
    assert kept == ["Be brief.", GREETING, "a table please", "A table for two.", "yes", "Goodbye."]
    assert [item.text() for item in case.server.session.items.values()] == kept[1:], (
        "the provider has it, too"
    )
    assert not call.of("interruption")
    assert not call.of("error")
    assert spoken_s(call) > 2.9, "and the caller has heard it"
    assert [turn.voice_to_voice is not None for turn in call.turns] == [False, True, True]
    assert case.server.session.heard_s > 10, "the caller's audio reaches the model, at its own rate"


def test_a_barge_in_is_told_the_provider_at_the_position_that_was_heard() -> None:
    case = Case(LONG, "Bye.", texts=["a table please", "goodbye then"])
    call = case.call(Caller().say(PEOPLE).interrupt(YES, after=1.5))
    session = case.server.session
    (cut,) = session.truncations
    begun = next(event.at for event in call.of("bot_audio") if event.at > 4)
    held = call.of("hold")[0].at
    assert abs(cut.audio_end_ms / 1000 - (held - begun)) <= 0.02, "the speech was held, and not heard on"
    assert cut.audio_end_ms / 1000 < 2, "although all of it was sent"
    said = texts(call, "bot")
    assert said[1]
    assert LONG.startswith(said[1])
    assert session.items[cut.item_id].speech is not None
    its_words, our_words = session.items[cut.item_id].text().split(), said[1].split()
    assert our_words == its_words[: len(our_words)]
    assert len(its_words) - len(our_words) <= 2
    assert said[2:] == ["Bye."]
    kinds = session.kinds()
    assert kinds[-2:] == ["conversation.item.truncate", "response.create"], "the answer knows what was heard"
    assert [m["content"] for m in case.context][-3:] == [said[1], "goodbye then", "Bye."]


# ---------------------------------------------------------------------- who decides on turns


@pytest.mark.parametrize("turns", ["smart", 0.5])
def test_our_own_turn_detection_ends_the_callers_turn(turns: str | float) -> None:
    case = Case("A table for two.", "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), action={"turns": turns})
    assert texts(call, "bot") == [GREETING, "A table for two.", "Goodbye."]
    assert texts(call, "user") == ["a table please", "yes"]
    session = case.server.session
    assert session.config.turn_detection is None
    assert session.count("input_audio_buffer.commit") == 2
    call.assert_latency(below=1.2)


def test_with_our_own_turns_the_length_of_a_sound_decides_over_the_bots_speech() -> None:
    case = Case(LONG, "Bye.", texts=["a table please", "no wait"])
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5), action={"turns": "smart"})
    said = texts(call, "bot")
    assert LONG.startswith(said[1])
    assert said[1] != LONG
    assert said[2:] == ["Bye."]
    (cut,) = case.server.session.truncations
    begun = next(event.at for event in call.of("bot_audio") if event.at > 4)
    assert abs(cut.audio_end_ms / 1000 - (call.of("hold")[0].at - begun)) <= 0.02


def test_an_immediate_interruption_cuts_off_as_soon_as_the_provider_hears_it() -> None:
    case = Case(LONG, "Bye.", texts=["a table please", "goodbye then"])
    call = case.call(Caller().say(PEOPLE).interrupt(YES, after=1.5), action={"interruption": "immediate"})
    session = case.server.session
    assert texts(call, "bot")[2:] == ["Bye."]
    (cut,) = session.truncations
    begun = next(event.at for event in call.of("bot_audio") if event.at > 4)
    assert abs(cut.audio_end_ms / 1000 - (call.of("interruption")[-1].at - begun)) < 0.021
    assert session.count("response.cancel") == 0, "the provider had said all of it"
    assert session.count("response.create") == 3, (
        "the provider cuts nothing off and answers nothing by itself"
    )


def test_who_may_not_interrupt_is_answered_when_the_bot_has_finished() -> None:
    case = Case(LONG, "Bye.", texts=["a table please", "no wait"])
    call = case.call(
        Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.0), action={"allow_interruptions": False}
    )
    assert texts(call, "bot") == [GREETING, LONG, "Bye."]
    assert case.server.session.truncations == []
    assert case.said == [GREETING, "a table please", LONG, "no wait", "Bye."]


def test_of_an_answer_that_comes_slowly_what_was_heard_is_kept() -> None:
    case = Case(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=0.8))
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")
    assert said[1]
    assert LONG.startswith(said[1])
    assert said[2:] == ["Bye."]
    (cut,) = case.server.session.truncations
    assert 1 < cut.audio_end_ms / 1000 < 3


# ---------------------------------------------------------------------- tools


# ---------------------------------------------------------------------- what the bot is told to say


def test_the_bot_waits_for_the_caller_without_a_greeting() -> None:
    case = Case("A table for two.", texts=["a table please"])
    call = case.call(Caller().say(PEOPLE), agent={"greeting": None})
    assert texts(call, "bot") == ["A table for two."]
    assert case.server.session.config.body["instructions"] == "Be brief."


def test_what_must_not_be_interrupted_is_heard_to_its_end() -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", say)

    case = Case("Bye.", "Bye.", texts=["no wait"])
    call = case.call(Caller().interrupt(NO_WAIT, after=1.0), agent={"greeting": None}, watch=watch)
    assert heard == [True]
    assert texts(call, "bot")[0] == LONG
    assert case.server.session.truncations == []


# ---------------------------------------------------------------------- when something fails


def test_an_answer_that_fails_is_apologised_for_and_asked_for_once_more() -> None:
    case = Case("For how many?", "Goodbye.", texts=TWO, reply_faults={2: Refused(500)})
    call = case.call(Caller().say(PEOPLE).say(YES))
    assert recorded_apology_heard(call)
    assert texts(call, "bot")[-1] == "Goodbye."
    assert len(call.of("error")) == 1


def test_an_answer_that_does_not_come_is_given_up_and_asked_for_once_more() -> None:
    case = Case("For how many?", "Goodbye.", texts=TWO, reply_faults={2: Stalls()})
    call = case.call(Caller().say(PEOPLE).say(YES), agent={"reply_timeout_secs": 4})
    assert recorded_apology_heard(call)
    assert texts(call, "bot")[-1] == "Goodbye."


# ---------------------------------------------------------------------- what cannot work


def test_a_provider_whose_protocol_is_not_known_is_a_sentence() -> None:
    class SomeRealtimeService(ScriptedLLM):
        def service_metadata_frame(self) -> LLMServiceMetadataFrame:
            return LLMServiceMetadataFrame(service_name="some", is_realtime_service=True)

    call = Case().call(Caller().pause(1), action={"llm": SomeRealtimeService(["Hello."])})
    assert "SomeRealtimeService cannot be told yet what to say" in call.end_detail


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ({"llm": ScriptedLLM(["Hello."])}, "llm alone is for a speech-to-speech service"),
        ({"interruption": 2}, "words when they are over"),
        ({"llm": ScriptedLLM(["Hello."]), "stt": ScriptedSTT([]), "turns": "provider"}, "tts is missing"),
    ],
)
def test_what_cannot_work_is_a_sentence(action: dict[str, Any], error: str) -> None:
    call = Case().call(Caller().pause(1), action=action)
    call.assert_ended(EndReason.ERROR)
    assert error in call.end_detail


# ---------------------------------------------------------------------- in between


def test_an_error_of_the_provider_that_ends_its_session_is_mended() -> None:
    case = Case("For how many?", "Goodbye.", texts=TWO)

    def watch(agent: VoiceAgent) -> None:
        async def fail(_: object) -> None:
            await case.server.session.fail("server_error", "The server had an error")

        agent.on("user_turn", lambda turn: fail(turn) if turn.text == TWO[0] else None)

    call = case.call(Caller().say(PEOPLE).say(YES), watch=watch)
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert len(case.server.sessions) == 2
    assert texts(call, "bot")[-1] == "Goodbye."


def test_two_interruptions_are_two_truncations() -> None:
    case = Case(LONG, LONG, "Bye.", texts=["a table please", "no wait", "no wait"])
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5).interrupt(NO_WAIT, after=1.0))
    assert texts(call, "bot")[-1] == "Bye."
    cuts = case.server.session.truncations
    assert len(cuts) == 2
    assert len({cut.item_id for cut in cuts}) == 2
    assert cuts[0].audio_end_ms > cuts[1].audio_end_ms


@pytest.mark.parametrize("speed", [None, 1.5])
def test_words_that_run_ahead_of_their_audio_are_not_taken_for_heard(speed: float | None) -> None:
    case = Case(
        LONG, "Bye.", texts=["a table please", "no wait"], words_ahead_s=9.0, voice=Voice(speed=speed)
    )
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")[1]
    (cut,) = case.server.session.truncations
    begun = LONG[: int(cut.audio_end_ms / 60) + 1]  # the voice takes 60 ms a letter
    assert LONG.startswith(said)
    assert len(said) <= len(begun)
    assert len(begun) - len(said) < 16, "a word or two may be missing"


def test_a_caller_who_goes_on_before_the_answer_is_heard_is_answered_once() -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(PEOPLE)
        await line.pause(0.55)
        await line.say(YES)
        await line.my_turn()

    case = Case("For how many?", "It is booked.", texts=["a table please", "for two"])
    call = case.call(caller)
    assert texts(call, "bot")[-1] == "It is booked."
    assert texts(call, "user") == ["a table please", "for two"]
    assert not call.of("error")


def test_what_the_caller_says_while_there_is_no_session_is_heard() -> None:
    case = Case("For how many?", texts=["a table please"], faults={2: Refused(503), 3: Refused(503)})

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        case.server.session.drop()
        await line.say(PEOPLE)
        await line.my_turn()

    call = case.call(caller)
    assert texts(call, "user") == ["a table please"]
    assert texts(call, "bot") == [GREETING, "For how many?"]
    assert len(case.server.sessions) == 2
    assert case.server.session.heard_s > 4, "of the speech nothing is missing"


def test_an_empty_answer_is_noticed_after_others_that_were_heard() -> None:
    case = Case("A table for two.", "", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES).pause(4))
    assert texts(call, "bot") == [GREETING, "A table for two."]
    assert [event.data["message"] for event in call.of("error")] == ["it answered nothing"] * 2, "asked again"
    assert recorded_apology_heard(call)
    assert (call.end_reason, call.end_detail) == (EndReason.ERROR, "llm: it answered nothing")


class Closed(OpenAIRealtimeLLMService):
    """Its second answer is a fatal error."""

    answers = 0

    async def _handle_evt_response_created(self, evt: Any) -> None:
        await super()._handle_evt_response_created(evt)
        self.answers += 1
        if self.answers == 2:
            error = ErrorFrame("the account is closed")
            error.fatal = True
            await self.push_error_frame(error)


def test_a_fatal_error_is_heard_and_is_the_reason_of_the_end() -> None:
    case = Case("A table for two.", texts=TWO)
    case.make_service = lambda **_: Closed(api_key="none", base_url=case.server.url)  # type: ignore[method-assign]
    call = case.call(Caller().say(PEOPLE).pause(8))
    assert (call.end_reason, call.end_detail) == (EndReason.ERROR, "llm: the account is closed")
    assert recorded_apology_heard(call)
    assert texts(call, "bot") == [GREETING], "it answers no more"
