"""Two final transcripts at once, at the beginning of a turn: the caller's words are not lost. In virtual time.

The first of them begins the turn. Its interruption has pipecat empty the queue of the conversation, where the second
waits.
"""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, Replies, ScriptedLLM, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, info, texts

WORDS = ("a table", "for four", "people")


class SplittingSTT(ScriptedSTT):
    """Sends each utterance as several final transcripts, one at once behind the other."""

    async def _final(self, text: str, *, last: bool) -> None:
        for words in WORDS:
            await super()._final(words, last=words is WORDS[-1])


class PassingStage(FrameProcessor):
    """A stage of an author's, between the STT and the conversation."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("between", [False, True], ids=["straight", "through a stage"])
@pytest.mark.parametrize("own", [True, False], ids=["turns of the words", "turns as they are by default"])
def test_the_words_behind_those_that_begin_a_turn_are_in_the_turn(own: bool, between: bool) -> None:
    turns: dict[str, Any] = {}
    if own:
        turns["turns"] = UserTurnStrategies(
            start=[TranscriptionUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy()]
        )

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False)
        llm = ScriptedLLM(Replies("On which day?", otherwise="Anything else?"))
        await agent.Action(stt=SplittingSTT(Transcripts(texts=("words",))), llm=llm, tts=ToneTTS(), **turns)
        if between:
            agent.pipeline.insert("between", PassingStage(), after="stt", wants_audio=False)
        await agent.start()

    call = simulate(bot, Caller().say(PEOPLE).pause(10), info=info())
    assert texts(call, "user") == [" ".join(WORDS)], call.timeline()
    assert texts(call, "bot") == ["On which day?"]
