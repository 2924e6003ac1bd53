"""Gemini Live, by Google's own client and pipecat's service, at the server for tests. In virtual time."""

from __future__ import annotations

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import AgentLoss, Caller, Disconnects, Refused, Tool, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import COUGH, NO_WAIT
from tests.support.realtime_calls import GREETING, LONG
from tests.support.virtual import PEOPLE, YES, recorded_apology_heard, texts

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import MODELS, GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
THANKS = "Goodbye, and thank you for your call."
TWO = ["a table please", "yes"]


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_call(model: str) -> None:
    case = GeminiCase("A table for two.", THANKS, texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), service={"model": model})
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "A table for two.", THANKS]
    assert texts(call, "user") == TWO
    assert case.said == [GREETING, "a table please", "A table for two.", "yes", THANKS]
    assert not call.of("interruption")
    assert not call.of("error")
    assert case.server.session.conversation()[0] == {"role": "system", "content": "Be brief."}
    assert case.server.session.setup["realtime_input_config"]["automatic_activity_detection"]["disabled"]


def test_after_a_barge_in_the_model_is_told_what_was_heard() -> None:
    case = GeminiCase(LONG, "Bye.", texts=["a table please", "no wait"])
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")
    assert LONG.startswith(said[1])
    assert said[1] != LONG
    assert said[2:] == ["Bye."]
    told = [one["content"] for one in case.server.session.conversation() if one["role"] == "user"]
    assert any(text.endswith(f"no more than this: {said[1]}") for text in told)


def test_of_an_answer_that_still_comes_nothing_is_heard_behind_the_interruption() -> None:
    case = GeminiCase(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=1.2))
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    said = texts(call, "bot")
    assert said[2:] == ["Bye."]
    assert LONG.startswith(said[1])
    assert any(message.kind == "interrupted" for message in case.server.session.sent)


def test_a_cough_over_the_answer_cuts_nothing() -> None:
    case = GeminiCase(LONG, texts=["a table please"])
    call = case.call(Caller().say(PEOPLE).interrupt(COUGH, after=1.5))
    assert texts(call, "bot") == [GREETING, LONG]
    assert call.of("resume")
    assert not call.of("interruption")


def test_a_tool_is_used_and_its_result_is_answered() -> None:
    booked = []

    async def book(params: FunctionCallParams, people: int) -> None:
        """Book a table.

        Args:
            people: For how many.
        """
        booked.append(people)
        await params.result_callback({"booked": people})

    case = GeminiCase([Tool("book", people=2), "It is booked."], "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), agent={"tools": [book]})
    assert booked == [2]
    assert texts(call, "bot") == [GREETING, "It is booked.", "Goodbye."]
    assert not call.of("error")


def test_say_tells_whether_it_was_heard() -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say("One moment please."))
            heard.append(await agent.say(LONG))

        agent.on("answered", say)

    case = GeminiCase("Bye.", texts=["no wait"])
    case.call(Caller().interrupt(NO_WAIT, after=3.0), agent={"greeting": None}, watch=watch)
    assert heard == [True, False]


@pytest.mark.parametrize("loss", [AgentLoss("user_turn", 0.3), AgentLoss("bot_turn", 0.3, 2)])
def test_an_agent_that_is_lost_is_followed_by_one_with_the_conversation(loss: AgentLoss) -> None:
    case = GeminiCase("For how many?", "Certainly.", "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), losses=[loss])
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot").count(GREETING) == 1
    assert len(texts(call, "user")) == 2
    known = [one.get("content") for one in case.server.session.conversation()]
    assert "a table please" in known


def test_a_session_that_is_lost_is_opened_again() -> None:
    faults = {2: Disconnects(0.5)}
    case = GeminiCase("For how many?", LONG, texts=TWO, reply_faults=faults, voice=Voice(speed=2))
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert len(case.server.sessions) > 1
    said = texts(call, "bot")
    assert said[-1] == LONG
    assert LONG.startswith(said[-2])
    (error,) = call.of("error")
    assert "opened again" in error.data["message"]


def test_a_first_session_that_is_refused_is_opened_a_little_later() -> None:
    case = GeminiCase("For how many?", THANKS, texts=TWO, faults={1: Refused(503), 2: Refused(503)})
    call = case.call(Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "For how many?", THANKS], call.timeline()


def test_a_first_session_that_cannot_be_opened_ends_the_call_with_an_apology() -> None:
    refused = {number: Refused(503) for number in range(1, 40)}
    case = GeminiCase("For how many?", texts=TWO, faults=refused)
    call = case.call(Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("llm: the session was not opened"), call.timeline()
    assert recorded_apology_heard(call)
