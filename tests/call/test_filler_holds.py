"""Fillers and idle lines beside a hold: a sound of the caller over the bot, of which it is decided what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Replies, ScriptedLLM, SimulatedCall, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, info, longest_silence_s, texts
from tests.turns.test_held_turn_start import COUGH, MHM, NO_WAIT

pytestmark = pytest.mark.usefixtures("either_bot")

FILLER = "One moment, please, I am looking for it."
"""2.4 s of a tone."""
ANSWER = "Here it is."


def called(
    *sounds: tuple[float, Any],
    until: float = 14.0,
    hears: Sequence[str] = ("a table",),
    greeting: str | None = None,
    replies: tuple[str, ...] = (ANSWER,),
    latency: float = 0.0,
    **options: Any,
) -> tuple[SimulatedCall, list[str], list[Any]]:
    """Call a bot, and make these sounds at these times, in seconds. Returns what it was given to say, too."""
    tts = ToneTTS()
    context: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, greeting=greeting, **options)
        llm = ScriptedLLM(Replies(*replies, otherwise=ANSWER, latency=latency))
        await agent.Action(stt=ScriptedSTT(list(hears)), llm=llm, tts=tts, interruption="held")
        await agent.start()
        assert agent.context is not None
        context.extend(agent.context.get_messages())

    async def caller(line: CallerLine) -> None:
        for at, sound in sounds:
            await line.at(at)
            await line.say(sound)
        await line.at(until)

    return simulate(bot, caller, info=info()), tts.said, context


def words(context: list[Any], role: str) -> list[str]:
    return [one["content"] for one in context if one["role"] == role]


QUESTION = (0.5, PEOPLE)
"""Ends at 3.1 s, so the filler begins at about 5.2 s if the model is slow."""


@pytest.mark.parametrize("sound", [COUGH, MHM])
@pytest.mark.three_services("a model that is late says no filler")
def test_a_cough_over_a_filler_costs_neither_the_filler_nor_the_answer(sound: Any) -> None:
    hears = ["a table", *(["Mhm."] if sound is MHM else [])]
    call, said, context = called(QUESTION, (6.0, sound), latency=6.0, filler=FILLER, hears=hears)
    assert call.of("hold"), call.timeline()
    assert said == [FILLER, ANSWER], call.timeline()
    assert words(context, "user") == ["a table"]
    assert words(context, "assistant") == [ANSWER]
    assert longest_silence_s(call) < 5.5


@pytest.mark.three_services("a model that is late says no filler")
def test_who_cuts_into_a_filler_is_answered_and_the_filler_is_no_part_of_it() -> None:
    call, said, context = called(
        QUESTION, (6.0, NO_WAIT), until=25.0, hears=("a table", "No, wait."), latency=6.0, filler=FILLER
    )
    assert call.of("interruption"), call.timeline()
    assert said.count(ANSWER) == 1, call.timeline()
    assert " ".join(words(context, "user")) == "a table No, wait."
    assert words(context, "assistant") == [ANSWER]
    cut = call.of("interruption")[0].at
    silence = call.bot_audio[int((cut + 0.1) * call.rate) : int((cut + 0.4) * call.rate)]
    assert not silence.any(), "it stops"


@pytest.mark.parametrize("sound", [COUGH, MHM, NO_WAIT, PEOPLE])
def test_nothing_is_said_while_it_is_decided_what_a_sound_is(sound: Any) -> None:
    """The bot is held in the middle of a long greeting; its silence is no silence that is to be filled."""
    greeting = "We have a table by the window and another one out on the terrace under the old lime trees."
    call, said, _ = called((1.5, sound), greeting=greeting, hears=("No, wait.",), filler=FILLER)
    (hold,) = call.of("hold")
    decided = [event.at for kind in ("resume", "interruption") for event in call.of(kind)]
    until = min(at for at in decided if at >= hold.at)
    quiet = call.bot_audio[int((hold.at + 0.06) * call.rate) : int((until - 0.02) * call.rate)]
    assert not quiet.any(), call.timeline()
    assert FILLER not in said


def test_a_sound_over_an_idle_line_lets_it_go_on_and_words_answer_it() -> None:
    line = "Are you still there, or have you put the telephone aside for a moment?"
    options: dict[str, Any] = {"idle": [line, "Bye."], "idle_timeout_secs": 16, "greeting": "Hello."}
    call, said, _ = called((10.0, COUGH), until=15.0, hears=(), **options)
    assert said == ["Hello.", line], call.timeline()
    assert call.of("hold"), call.timeline()
    assert line in " ".join(texts(call, "bot")), call.timeline()
    call, said, context = called((10.0, NO_WAIT), until=18.0, hears=("No, wait.",), **options)
    assert call.of("interruption"), call.timeline()
    assert said == ["Hello.", line, ANSWER], call.timeline()
    assert words(context, "user") == ["No, wait."]


def test_no_idle_line_begins_while_the_bot_is_held() -> None:
    greeting = "We have a table by the window and another one out on the terrace under the old lime trees."
    options: dict[str, Any] = {"idle": ["Are you still there?", "Bye."], "idle_timeout_secs": 10}
    call, said, _ = called((3.0, COUGH), (4.2, COUGH), until=8.0, hears=(), greeting=greeting, **options)
    assert said == [greeting], call.timeline()
    assert np.count_nonzero(call.bot_audio) / call.rate > 5
