"""A caller who speaks just while their call moves: the turn is heard once, whole, and answered once.

Real gateway, agents, sockets and VAD, in one loop. When the next agent is ready is in the hands of the test.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller
from piopiy_pipeline.testing.line.callers import CallerLine
from tests.support.bots import voice
from tests.support.calls import AGENT_ID, AUDIO, TOKEN, CallLog, eventually, house

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

PEOPLE = AUDIO / "booking/01-people.wav"
RATE = 16000
LOUD = 500
PATIENCE_S = 20.0


class Ear(FrameProcessor):
    """Hears what the caller says, as the STT does."""

    def __init__(self) -> None:
        super().__init__()
        self.pcm = b""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.pcm += frame.audio
        await self.push_frame(frame, direction)

    @property
    def loud(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """What it heard from the first loud sample to the last one."""
        samples = np.frombuffer(self.pcm, np.int16)
        at = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        return samples[at[0] : at[-1] + 1] if at.size else samples[:0]


class MovingBot:
    """One bot at two agents. The second is ready for the call when `release` is set."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []
        self.contexts: list[list[Any]] = []
        self.ends: list[EndReason] = []
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def create_session(self, call: Call) -> None:
        if call.resumed:
            self.asked.set()
            await self.release.wait()
        agent = await voice(call, texts=["for four"], replies=["For which day?"], greeting="Good evening.")
        ear = Ear()
        self.ears.append(ear)
        agent.pipeline.insert("ear", ear, after="vad")
        self.ends.append((await agent.start()).reason)
        assert agent.context is not None
        self.contexts.append(agent.context.get_messages())


@pytest.mark.parametrize("ready", ["while the caller speaks", "when the turn is over", "never"])
def test_what_a_caller_says_during_a_move_is_heard_and_answered_once(
    ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIOPIY_DRAIN", "move")

    async def story() -> None:
        bot = MovingBot()

        async def speaks(line: CallerLine) -> None:
            await bot.asked.wait()
            await line.say(PEOPLE)

        async with house(bot.create_session) as place:
            log = CallLog(RATE)
            calling = asyncio.create_task(place.place(Caller(steps=(speaks,)), log, limit_s=60))
            await eventually(lambda: log.texts("bot") == ["Good evening."], PATIENCE_S)
            other = Agent(AGENT_ID, TOKEN, bot.create_session, signaling_url=place.gateway.url)
            serving = asyncio.create_task(other.connect())
            try:
                await place.gateway.wait_for_agent(AGENT_ID, PATIENCE_S)
                await eventually(
                    lambda: len(place.gateway.switchboard.instances.of(AGENT_ID)) == 2, PATIENCE_S
                )
                place.agent.drain()
                if ready == "while the caller speaks":
                    await eventually(lambda: bot.ears[0].loud.size > 0.5 * RATE, PATIENCE_S)
                    bot.release.set()
                elif ready == "when the turn is over":
                    await eventually(lambda: log.texts("user"), PATIENCE_S)
                    bot.release.set()
                await calling
            finally:
                bot.release.set()
                await other.shutdown()
                await asyncio.wait_for(serving, PATIENCE_S)
        assert log.reason is EndReason.CALLER_HANGUP
        assert log.texts("user") == ["for four"]
        assert log.texts("bot") == ["Good evening.", "For which day?"]
        said = [(message["role"], message["content"]) for message in bot.contexts[-1]][1:]
        if ready == "while the caller speaks":
            assert bot.ends[0] is EndReason.MOVED
            spoken = Ear()
            spoken.pcm = read_wav(PEOPLE, RATE).tobytes()
            assert bot.ears[1].loud.tobytes() == spoken.loud.tobytes(), "to the sample"
            assert said == [
                ("assistant", "Good evening."),
                ("user", "for four"),
                ("assistant", "For which day?"),
            ]

    asyncio.run(story())
