"""What a speech-to-speech model is told to say while a tool runs: a filler, and what the tool itself has it say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.services.google.gemini_live import llm as gemini_llm
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session.realtime.realtime_provider import said_as_it_is
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.testing import Caller, Tool, Voice
from piopiy_pipeline.testing.realtime.gemini_live import GeminiLiveSession
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.session.realtime.test_realtime_chat import GeminiChat
from tests.support.gemini_calls import GeminiCase
from tests.support.realtime_calls import GREETING, Case
from tests.support.realtime_providers import UltravoxCase
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, texts

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
THANKS = "Thank you, see you then."
TEXTS = ["One moment.", "I look that up.", "Here it is."]
PROVIDERS: list[type[Case]] = [Case, GeminiCase, UltravoxCase]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("speed", [1.2, None], ids=["streamed", "all at once"])
def test_a_text_that_takes_longer_than_a_failing_answer_may_is_heard_to_its_end(
    provider: type[Case], speed: float | None
) -> None:
    greeting = " ".join(["word"] * 60)
    case = provider(THANKS, texts=["a table please"], voice=Voice(speed=speed))
    call = case.call(Caller().say(PEOPLE), agent={"greeting": greeting})
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [greeting, THANKS], call.timeline()
    assert not call.of("error")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_the_bot_is_told_to_say_is_heard_in_the_order_in_which_it_was_told(provider: type[Case]) -> None:
    async def say(_: object) -> None:
        said.extend(await asyncio.gather(*map(agent[0].say, TEXTS)))

    def watch(made: VoiceAgent) -> None:
        agent.append(made)
        made.on("answered", say)

    said: list[bool] = []
    agent: list[VoiceAgent] = []
    case = provider(THANKS, texts=["a table please"])
    call = case.call(Caller().pause(9).say(PEOPLE), watch=watch)
    assert texts(call, "bot") == [GREETING, *TEXTS, THANKS], call.timeline()
    assert said == [True] * len(TEXTS)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("after_s", "said"),
    [(0.05, [GREETING]), (0.8, ["Good evening,", "how can I help you today?"])],
    ids=["before a word", "in the middle"],
)
def test_a_greeting_in_which_the_session_is_lost_is_said_to_its_end_by_the_next(
    provider: type[Case], after_s: float, said: list[str]
) -> None:
    async def drop(_: object) -> None:
        await asyncio.sleep(after_s)
        case.server.session.drop()

    def watch(made: VoiceAgent) -> None:
        made.on("answered", drop)

    case = provider(THANKS, texts=["a table please"], voice=Voice(speed=1.5))
    call = case.call(Caller().say(PEOPLE), watch=watch)
    assert " ".join(texts(call, "bot")) == f"{GREETING} {THANKS}", call.timeline()
    assert len(texts(call, "bot")) == len(said) + 1
    assert [error.data["message"] for error in call.of("error")] == [
        "the session was lost, and was opened again"
    ]


def test_a_model_that_was_lost_too_often_in_a_text_is_asked_for_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    respond, begun = GeminiLiveSession._respond, 0

    async def respond_and_be_lost(session: GeminiLiveSession) -> None:
        nonlocal begun
        begun += 1
        session.start(drop(session), "loss")
        await respond(session)

    async def drop(session: GeminiLiveSession) -> None:
        await asyncio.sleep(1.0)
        session.drop()

    monkeypatch.setattr(GeminiLiveSession, "_respond", respond_and_be_lost)
    # pipecat's service opens each lost one again
    monkeypatch.setattr(gemini_llm, "CONNECTION_ESTABLISHED_THRESHOLD", 0.0)
    case = GeminiCase(voice=Voice(speed=1.0))
    call = case.call(Caller().pause(30), agent={"greeting": " ".join(["word"] * 60)})
    call.assert_ended(EndReason.ERROR)
    assert begun == 4, call.timeline()
    *mended, given_up = [error.data["message"] for error in call.of("error")]
    assert mended == ["the session was lost, and was opened again"] * 3
    assert given_up == "the session was lost 4 times in a row, and gave no answer"


def test_a_tool_that_has_something_said_and_returns_at_once_gets_its_answer() -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        saying.append(asyncio.ensure_future(case.agents[-1].say("I have a look at that.")))
        await asyncio.sleep(0)
        await params.result_callback({"found": 2})

    saying: list[Any] = []
    case = Case((Tool("look_up"), "There are two."), texts=["how many"])
    call = case.call(Caller().say(PEOPLE).pause(6), agent={"greeting": None, "tools": [look_up]})
    assert texts(call, "bot") == ["I have a look at that.", "There are two."]
    assert not call.of("error")


@pytest.mark.parametrize(
    ("filler", "said"),
    [("Let me see.", "Let me see."), (Filler(), "One moment, please."), (None, "")],
    ids=["own words", "by default", "none"],
)
def test_the_model_says_the_filler_while_a_tool_runs(filler: Any, said: str) -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await asyncio.sleep(6)
        await params.result_callback({"found": 2})

    case = Case((Tool("look_up"), "There are two."), texts=["how many"])
    call = case.call(
        Caller().say(PEOPLE).pause(6), agent={"greeting": None, "tools": [look_up], "filler": filler}
    )
    asked = [one.body.get("response", {}).get("instructions") or "" for one in case.server.session.received]
    assert [one for one in asked if one] == ([said_as_it_is(said)] if said else [])
    assert texts(call, "bot") == ["There are two."], "a filler is no part of the conversation"
    assert said not in [message.get("content") for message in case.context]
    assert not call.of("error")


def test_the_model_knows_what_a_tts_has_said_beside_it() -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await case.agents[-1].say("I have a look at that.")
        await params.result_callback({"found": 2})

    case = Case((Tool("look_up"), "There are two."), texts=["how many"])
    call = case.call(
        Caller().say(PEOPLE).pause(6), agent={"tools": [look_up]}, action={"tts": ToneTTS(words=True)}
    )
    said = [GREETING, "I have a look at that.", "There are two."]
    assert texts(call, "bot") == said
    known = [one.get("content") for one in case.server.session.conversation() if one["role"] == "assistant"]
    assert [one for one in known if one in said] == said


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_googles_model_knows_the_greeting_of_a_tts() -> None:
    chat = GeminiChat("For how many?", texts=["a table please"])
    chat.call(Caller().say(PEOPLE), action={"tts": ToneTTS(words=True)})
    known = [one["content"] for one in chat.server.session.conversation()]
    assert f"You have said this to the caller: {GREETING}" in known or GREETING in known
    assert chat.said == [GREETING, "a table please", "For how many?"]
