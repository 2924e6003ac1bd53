"""What a caller hears who waits, and one who says nothing. In virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.testing import Caller, Replies, ScriptedLLM, SimulatedCall, Tool, simulate
from tests.support.bot_kinds import THREE
from tests.support.bots import ask, voice
from tests.support.services import ToneTTS
from tests.support.virtual import YES, info, longest_silence_s, spoken_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")

FILLER = "One moment, please."


def called(caller: Caller | None = None, **options: Any) -> tuple[SimulatedCall, list[str]]:
    """Call a bot that is asked at once; return the call and what the voice was given to say."""
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        latency = options.pop("latency", 0.0)
        llm = ScriptedLLM(Replies(otherwise="Here it is.", latency=latency))
        agent = await voice(call, tts=tts, texts=["yes"] * 3, llm=llm, **options)
        ask(agent)
        await agent.start()

    return simulate(bot, caller or Caller().pause(12), info=info()), tts.said


def bridged(either_bot: str) -> list[str]:
    """Return the sentence that bridges a slow answer: a model that is late cannot say it, and the sound is all."""
    return [FILLER] if either_bot == THREE else []


def test_a_model_that_is_slow_is_bridged_by_a_sentence_that_is_not_in_the_conversation(
    either_bot: str,
) -> None:
    call, said = called(latency=6.0)
    assert said == [*bridged(either_bot), "Here it is."]
    assert texts(call, "bot") == ["Here it is."]
    assert longest_silence_s(call) < 2.0


def test_a_model_in_time_is_not_bridged() -> None:
    _, said = called(latency=1.2)
    assert said == ["Here it is."]


@pytest.mark.three_services("a model that is late says no filler")
def test_an_author_chooses_the_filler_or_none() -> None:
    _, said = called(latency=4.0, filler="Hang on.")
    assert said == ["Hang on.", "Here it is."]
    call, said = called(latency=4.0, filler=None)
    assert said == ["Here it is."]
    assert longest_silence_s(call) > 3.9


def test_a_filler_may_be_a_recording() -> None:
    call, said = called(latency=4.0, filler=YES)
    assert said == ["Here it is."]
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > 500)
    assert 1.4 < loud[0] / call.rate < 2.0


def test_a_recording_that_cannot_be_read_leaves_the_sound(tmp_path: Path) -> None:
    call, _ = called(latency=4.0, filler=tmp_path / "missing.wav")
    assert longest_silence_s(call) < 2.0


@pytest.mark.parametrize("language", ["de", "de-AT"])
@pytest.mark.three_services("a model that is late says no filler")
def test_the_default_is_in_the_language_of_the_voice(language: str) -> None:
    tts = ToneTTS()
    tts.settings.language = language  # type: ignore[attr-defined]

    async def bot(call: Call) -> None:
        agent = await voice(call, tts=tts, replies=[None])
        ask(agent)
        await agent.start()

    simulate(bot, Caller().pause(3), info=info())
    assert tts.said[0] == "Einen Moment, bitte."


def test_a_slow_tool_is_bridged_once_and_a_tool_that_never_returns_is_ended_and_named() -> None:
    tts = ToneTTS()

    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""
        await asyncio.Event().wait()

    async def bot(call: Call) -> None:
        agent = await voice(
            call,
            tts=tts,
            replies=[("look_up", {}), "That did not work."],
            tools=[look_up],
            tool_timeout_secs=8,
        )
        ask(agent)
        await agent.start()

    call = simulate(bot, Caller().pause(12), info=info())
    assert tts.said == [FILLER, "That did not work."]
    assert longest_silence_s(call) < 2.0
    (error,) = call.of("error")
    assert "The tool look_up did not return within 8 s" in error.data["message"]


def test_a_bot_that_says_that_it_looks_something_up_needs_no_filler() -> None:
    tts = ToneTTS()

    async def look_up(params: FunctionCallParams) -> str:
        """Look something up."""
        await asyncio.sleep(3)
        return "found"

    async def bot(call: Call) -> None:
        llm = ScriptedLLM(Replies(("Let me have a look.", Tool("look_up"), "I found it.")))
        agent = await voice(call, tts=tts, tools=[look_up], llm=llm)
        ask(agent)
        await agent.start()

    call = simulate(bot, Caller().pause(12), info=info())
    assert tts.said == ["Let me have a look.", "I found it."]
    assert longest_silence_s(call) < 2.0


def test_a_filler_is_no_progress_of_an_answer_that_hangs() -> None:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = await voice(call, tts=tts, replies=[None, None], error_line="Sorry.", reply_timeout_secs=5)
        ask(agent)
        await agent.start()

    call = simulate(bot, Caller().pause(60), info=info())
    call.assert_ended(EndReason.ERROR)
    assert call.duration_s < 20
    assert longest_silence_s(call) < 2.0


# ------------------------------------------------------------------ a caller who says nothing


def silent(seconds: float, caller: Caller | None = None, **options: Any) -> tuple[SimulatedCall, list[str]]:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = await voice(
            call, tts=tts, texts=["yes"] * 5, replies=["Fine."] * 5, greeting="Hello.", **options
        )
        await agent.start()

    return simulate(bot, caller or Caller().pause(seconds), info=info()), tts.said


def test_a_caller_who_says_nothing_is_asked_twice_before_the_goodbye() -> None:
    call, said = silent(90)
    assert said == [
        "Hello.",
        "Are you still there?",
        "Hello? Can you hear me?",
        "I cannot hear you, so I will hang up now. Goodbye.",
    ]
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert call.end_detail == "nobody spoke for 60 s"
    assert 60 < call.duration_s < 70


def test_a_caller_who_answers_goes_on_and_is_asked_anew_later() -> None:
    call, said = silent(0, Caller().pause(25).say(YES).pause(25))
    assert said == ["Hello.", "Are you still there?", "Fine.", "Are you still there?"]
    call.assert_ended(EndReason.CALLER_HANGUP)


def test_an_author_chooses_the_lines_or_none() -> None:
    call, said = silent(60, idle=["Yes?", "Bye."], idle_timeout_secs=20)
    assert said == ["Hello.", "Yes?", "Bye."]
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    call, said = silent(90, idle=False)
    assert said == ["Hello."]
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert spoken_s(call) < 1


@pytest.mark.three_services("nobody calls")
def test_times_of_a_filler_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="answer_s must be more than 0"):
        Filler(answer_s=0)
