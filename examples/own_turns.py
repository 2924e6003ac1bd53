"""A turn strategy of your own: as over a radio, the caller's turn ends with the word "over".

When a turn begins and ends is decided by pipecat's turn strategies, and a strategy is a class with
`process_frame`. This one ends the turn at once when the transcript ends with "over", and otherwise
waits for two seconds of silence: long enough for somebody who reads out a number.

    piopiy dev examples/own_turns.py         # "a table for four on Friday at seven. over"
"""

import asyncio
import os
import re
from pathlib import Path

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy.agent import Agent
from piopiy_pipeline import Call, CallPipeline
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")
SILENCE_S = 2.0
OVER = re.compile(r"\bover\W*$", re.IGNORECASE)  # a word of its own: whoever comes from Dover goes on


class OverStrategy(SpeechTimeoutUserTurnStopStrategy):
    """Ends the caller's turn at the word "over", or after `SILENCE_S` seconds without speech."""

    def __init__(self) -> None:
        super().__init__(user_speech_timeout=SILENCE_S)

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        result = await super().process_frame(frame)
        if isinstance(frame, TranscriptionFrame) and OVER.search(frame.text):
            await self.trigger_user_turn_stopped()
        return result


async def on_new_session(call: Call) -> None:
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    chain = CallPipeline.voice(
        call,
        stt=stt,
        llm=llm,
        tts=tts,
        context=LLMContext([{"role": "system", "content": "You tell when a restaurant is open. Be brief."}]),
        # Give both lists: with `start` alone, pipecat loads a model for the end of a turn.
        turns=UserTurnStrategies(start=[VADUserTurnStartStrategy()], stop=[OverStrategy()]),
    )
    call.on("answered", lambda _: call.say("Olive and Thyme, how can I help you? Over."))
    await call.run(chain)


async def main() -> None:
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "own_turns"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
