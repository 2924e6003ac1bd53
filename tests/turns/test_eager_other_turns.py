"""Answers ahead to turns that are no speech: keys, and words that a stage makes. In virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import Frame, InputDTMFFrame, InterruptionFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Replies, SimulatedCall, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.turns.eager_budget import EagerBudget
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS
from tests.support.virtual import info, texts
from tests.turns.test_eager_turns import CountingLLM

ANSWER = "A table for four. On which day should that be?"


class KeysAre(FrameProcessor):
    """Pushes frames for each key, all in one breath."""

    def __init__(self, frames: dict[str, Callable[[], list[Frame]]]) -> None:
        super().__init__(name="keys_are")
        self._frames = frames

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame):
            for one in self._frames[frame.button.value]():
                await self.push_frame(one)


def said(*words: str) -> Callable[[], list[Frame]]:
    return lambda: [TranscriptionFrame(one, "", time_now_iso8601(), finalized=True) for one in words]


def pressed(
    keys: str, frames: dict[str, Callable[[], list[Frame]]] | None = None, *, latency: float = 0.1
) -> tuple[SimulatedCall, CountingLLM, ToneTTS, EagerBudget]:
    llm, tts = CountingLLM(Replies(ANSWER, otherwise="Anything else?", latency=latency)), ToneTTS()
    budgets: list[EagerBudget] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", call=call, idle=False, dtmf="event" if frames else "text"
        )
        await agent.Action(stt=ScriptedSTT(Transcripts(texts=())), llm=llm, tts=tts, eager=True)
        if frames is not None:
            agent.pipeline.insert("keys_are", KeysAre(frames), after="stt", wants_audio=False)
        await agent.start()
        assert agent.pipeline.eager is not None
        budgets.append(agent.pipeline.eager.budget)

    async def caller(line: CallerLine) -> None:
        await line.pause(0.5)
        await line.press(keys)
        await line.pause(8)

    return simulate(bot, caller, info=info()), llm, tts, budgets[0]


def test_the_answer_to_keys_is_begun_ahead_and_waits_for_the_end_of_their_turn() -> None:
    call, llm, tts, budget = pressed("4#")
    assert texts(call, "bot") == [ANSWER]
    assert (len(llm.asked), budget.used, budget.wasted) == (1, 1, 0)
    assert call.of("bot_audio")[0].at > call.of("user_turn")[0].at
    assert tts.said == ["A table for four.", "On which day should that be?"]


def test_of_two_transcripts_at_once_nothing_is_heard_of_an_answer_to_the_first() -> None:
    call, llm, _tts, budget = pressed("45", {"4": said("a table for"), "5": said("four people", "on Friday")})
    assert [event.data["text"] for event in call.of("user_turn")] == ["a table for four people on Friday"]
    assert texts(call, "bot") == [ANSWER]
    assert [messages[-1]["content"] for messages in llm.asked] == ["a table for four people on Friday"]
    assert (budget.begun, budget.wasted) == (2, 1)


def test_an_interruption_behind_an_answer_ahead_drops_it_and_the_turn_is_answered_once() -> None:
    call, llm, _tts, budget = pressed(
        "45", {"4": said("four people"), "5": lambda: [InterruptionFrame()]}, latency=0.05
    )
    assert texts(call, "bot") == [ANSWER]
    assert call.of("bot_audio")[0].at > call.of("user_turn")[0].at
    assert (len(llm.asked), budget.begun, budget.wasted) == (2, 1, 1)


def test_an_interruption_that_overtakes_the_question_lets_nothing_of_its_answer_be_heard() -> None:
    def both() -> list[Any]:
        return [*said("four people")(), InterruptionFrame()]

    call, _llm, _tts, _budget = pressed("4", {"4": both})
    assert len(texts(call, "bot")) == 1
    assert call.of("bot_audio")[0].at > call.of("user_turn")[0].at
