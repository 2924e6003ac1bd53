"""What a client of a text chat is told, in which order: words, then their whole turn, then the next one's."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import Frame, LLMContextFrame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.signaling.chat import turn_in, words_of, writing_of
from piopiy_pipeline.testing import Caller, CallerLine, Replies, ScriptedLLM, simulate
from piopiy_pipeline.testing.line.text_link import TextCallerLink
from tests.session.test_text_chat import bot, scripted, slow_llm


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the client is told: words joined, whether the bot writes, and turns."""
    told: list[Any] = []
    take = TextCallerLink.on_agent_event

    def note(link: TextCallerLink, event: Any) -> None:
        data = getattr(event, "data", {})
        if (words := words_of(data)) is not None:
            if told and isinstance(told[-1], str):
                told[-1] += words
            else:
                told.append(words)
        elif (writes := writing_of(data)) is not None and writes != next(
            (one for one in reversed(told) if isinstance(one, bool)), False
        ):
            told.append(writes)
        elif (turn := turn_in(data)) is not None:
            recorded, what = turn
            told.append((what["role"], what["text"], what["interrupted"], recorded))
        take(link, event)

    monkeypatch.setattr(TextCallerLink, "on_agent_event", note)
    return told


def test_words_come_within_writing_and_before_their_turn(told: list[Any]) -> None:
    simulate(bot(scripted("Fine."), greeting="Hello!"), Caller().say("How are you?"), by="text")
    assert told == [
        *(True, "Hello!", False, ("bot", "Hello!", False, True)),
        ("user", "How are you?", False, True),
        *(True, "Fine.", False, ("bot", "Fine.", False, True)),
    ]


def test_a_greeting_that_is_answered_at_once_was_shown_whole(told: list[Any]) -> None:
    async def caller(line: CallerLine) -> None:
        await line.say("How are you?")
        await line.pause(1)

    simulate(bot(scripted("Fine."), greeting="Hello!"), caller, by="text")
    assert told[:5] == [
        True,
        "Hello!",
        False,
        ("bot", "Hello!", False, True),
        ("user", "How are you?", False, True),
    ]


def test_an_answer_that_is_cut_off_is_told_whole_before_the_turn_that_cut_it_off(told: list[Any]) -> None:
    async def caller(line: CallerLine) -> None:
        await line.say("Go on.")
        await line.pause(0.52)
        await line.say("Stop.", wait=True)
        await line.pause(0.3)

    simulate(bot(slow_llm), caller, by="text")
    began = told.index(("user", "Go on.", False, True))
    writes, words, stopped, turn, stop = told[began + 1 : began + 6]
    assert (writes, stopped) == (True, False)
    assert turn == ("bot", words.strip(), True, True)
    assert stop == ("user", "Stop.", False, True)


class FailingLLM(ScriptedLLM):
    """Fails at each question."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame):
            await self.push_error("401: incorrect API key")
            return
        await super().process_frame(frame, direction)


def test_an_apology_is_a_turn_that_is_not_on_the_record(told: list[Any]) -> None:
    call = simulate(bot(lambda: FailingLLM(Replies("-"))), Caller().say("Hello?"), by="text")
    apologies = [one for one in told if isinstance(one, tuple) and one[0] == "bot"]
    assert apologies
    for apology in apologies:
        _, text, interrupted, recorded = apology
        at = told.index(apology)
        assert (told[at - 3], told[at - 2].strip(), told[at - 1]) == (True, text, False)
        assert not interrupted
        assert not recorded
    assert not [event for event in call.of("bot_turn") if event.data["text"] == apologies[0][1]]
