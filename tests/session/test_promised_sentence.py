"""A prepared sentence is heard to its end, also when the agent that was saying it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from piopiy_pipeline.session import Call
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.session.promised_sentence import PromisedSentence, rest_of
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    Providers,
    Replies,
    ScriptedLLM,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.tools import hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import RECORDING
from tests.support.services import ScriptedSTT, ToneTTS

GREETING = "Olive and Thyme, good day to you, how may I help you today?"


def words_of(call: SimulatedCall) -> list[str]:
    """What the caller has heard in whole turns, in words."""
    return " ".join(str(event.data["text"]) for event in call.of("bot_turn")).split()


def calling(caller: Caller, losses: Sequence[AgentLoss], *replies: Any, **options: Any) -> SimulatedCall:
    async def create_session(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", **options)
        llm = ScriptedLLM(Replies(*replies, otherwise="Yes?"))
        await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ToneTTS())
        await agent.start()

    providers = Providers(stt=Transcripts(latency=0.2), llm=Replies(*replies, otherwise="Yes?"), tts=Voice())
    return simulate(create_session, caller, providers=providers, losses=losses)


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.5])
def test_a_greeting_goes_on_with_the_word_that_was_not_heard(after_s: float) -> None:
    call = calling(Caller().pause(8), [AgentLoss("answered", after_s)], greeting=GREETING)
    rest = words_of(call)
    assert rest == GREETING.split()[-len(rest) :]
    assert len(rest) >= 3
    assert not call.of("llm_started"), "no model is asked to go on with what it does not know"


def test_a_greeting_is_not_said_again_when_it_was_heard_or_cut_off() -> None:
    heard = calling(Caller().pause(8), [AgentLoss("bot_turn", 0.05)], greeting="Good day.")
    assert words_of(heard) == ["Good", "day."]
    talks = Caller().interrupt(RECORDING, text="a table please", after=1.0).pause(6)
    cut = calling(talks, [AgentLoss("user_turn", 0.0)], "For how many?", greeting=GREETING)
    assert len(cut.of("agent_lost")) == 1
    assert "today?" not in words_of(cut)
    assert words_of(cut)[-3:] == ["For", "how", "many?"]


def test_the_next_instance_may_be_lost_as_well() -> None:
    losses = [AgentLoss("answered", 0.6), AgentLoss("agent_resumed", 0.6)]
    call = calling(Caller().pause(9), losses, greeting=GREETING)
    rest = words_of(call)
    assert len(call.of("agent_lost")) == 2
    assert rest == GREETING.split()[-len(rest) :]
    assert len(rest) >= 3


@pytest.mark.parametrize("after_s", [0.05, 0.5])
def test_a_persona_introduces_itself_to_the_end(after_s: float) -> None:
    billing = Persona(
        name="billing", instructions="You do bills.", introduction="This is billing, a very good day to you."
    )
    call = calling(
        Caller().say(RECORDING, text="My bill please").pause(6),
        [AgentLoss("hand_off", after_s)],
        (Tool("hand_off_call", to="billing"), "Which number is it?"),
        tools=[hand_off_call({"billing": billing})],
    )
    assert len(call.of("agent_lost")) == 1
    assert "good day to you." in " ".join(words_of(call))


@pytest.mark.parametrize(
    ("heard", "rest"),
    [
        ("", "Good day, Olive and Thyme."),
        ("Good", "day, Olive and Thyme."),
        ("good day", "Olive and Thyme."),
        ("It is booked. Good day,", "Olive and Thyme."),
        ("Something else.", "Good day, Olive and Thyme."),
        ("Good day, Olive and Thyme.", ""),
    ],
)
def test_what_is_left_is_what_was_not_heard(heard: str, rest: str) -> None:
    assert rest_of("Good day, Olive and Thyme.", [], heard) == rest


@pytest.mark.parametrize("kept", [None, "", "  ", 7, {"text": "Hello."}])
def test_a_checkpoint_without_a_sentence_leaves_nothing_to_say(kept: Any) -> None:
    assert rest_of(kept, [], "Hello") == ""


def test_a_sentence_that_the_conversation_has_was_heard() -> None:
    said = [{"role": "assistant", "content": "Well. Good day."}, {"role": "user", "content": "Hello!"}]
    assert rest_of("Good day.", said, "") == ""
    assert rest_of("Good day.", [{"role": "user", "content": "Good day."}], "") == "Good day."
    assert rest_of("Good day.", [{"role": "assistant", "content": None}], "") == "Good day."


def test_a_sentence_is_kept_until_it_was_heard_or_cut_off() -> None:
    async def story() -> None:
        sentence = PromisedSentence()
        assert sentence.to_json() is None
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        sentence.begin("Good day.", heard)
        assert sentence.to_json() == "Good day."
        heard.set_result(False)
        assert sentence.to_json() is None

    asyncio.run(story())
