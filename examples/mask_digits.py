"""A processor of one's own between STT and context: the model never sees a card number.

Whatever the caller says with five digits or more, as figures or as words, reaches the model with the
digits masked. The stage is an ordinary pipecat `FrameProcessor`; it is put into the chain between
`Action()` and `start()`.

    piopiy dev examples/mask_digits.py
"""

import asyncio
import os
import re
from pathlib import Path

from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")
DIGIT = r"(?:\d|zero|oh|one|two|three|four|five|six|seven|eight|nine)"
LONG_NUMBER = re.compile(rf"\b{DIGIT}(?:[\s,.-]*{DIGIT}){{4,}}\b", re.IGNORECASE)


def mask(text: str) -> str:
    """`text` with every run of five digits or more replaced."""
    return LONG_NUMBER.sub("[number]", text)


class MaskDigits(FrameProcessor):
    """Masks long numbers in what the caller said. It wants no audio."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            frame.text = mask(frame.text)
        await self.push_frame(frame, direction)


async def on_new_session(call_id: str) -> None:
    voice_agent = VoiceAgent(
        instructions="You answer questions of callers of a restaurant. Be brief.",
        greeting="Olive and Thyme, good day. How can I help you?",
    )
    voice_agent.on("user_turn", lambda turn: print(f"the model sees: {turn.text}", flush=True))
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    pipeline = await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    pipeline.insert("mask_digits", MaskDigits(), after="stt", wants_audio=False)
    await voice_agent.start()


async def main() -> None:
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "mask_digits"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
