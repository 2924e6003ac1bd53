"""A chain of one's own, without `VoiceAgent`, context or model: a parrot.

It says back what the caller said. Turns, barge-in, `say`, `hangup`, events and the end of the call
are `Call`'s, so a chain like this has all of them.

    piopiy dev examples/own_chain.py
"""

import asyncio
import os
import re

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy.agent import Agent
from piopiy_pipeline import Call, CallPipeline
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.services.providers import build, chosen, prepare

GOODBYE = re.compile(r"\bgood[ -]?bye\b", re.IGNORECASE)  # ears write it in three ways


class Parrot(FrameProcessor):
    """Says what it hears, stops when the caller begins to speak, and hangs up on "goodbye"."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            await self.push_frame(TTSSpeakFrame(f"You said: {frame.text}"))
            if GOODBYE.search(frame.text):
                await self._call.hangup()
            return
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self.broadcast_interruption()
        await self.push_frame(frame, direction)


async def on_new_session(call: Call) -> None:
    transport = call.transport()
    chain = CallPipeline(
        [
            ("hear", transport.input()),
            ("vad", VadStage()),
            ("stt", build("stt", chosen("stt"))),
            ("parrot", Parrot(call)),
            ("tts", build("tts", chosen("tts"))),
            ("speak", transport.output()),
        ]
    )
    call.on("answered", lambda _: call.say("Say something."))
    end = await call.run(chain, idle_timeout_s=30)
    print(f"the call of {call.info.from_number} ended after {end.duration_s:.0f} s: {end.reason}", flush=True)


async def main() -> None:
    await prepare()  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "own_chain"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
