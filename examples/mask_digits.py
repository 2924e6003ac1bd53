"""A processor of one's own between STT and context: the model never sees a card number.

What the caller says with five digits or more, each as a figure or as a word, reaches the model with the digits masked.
Whoever reads a card out pauses behind each four of them, and an STT may write these down as sentences of their own: of
such a number the model sees the first group, and no more until the bot speaks.
The stage is an ordinary pipecat `FrameProcessor`; it is put into the chain between `Action()` and `start()`.

    piopiy dev examples/mask_digits.py
"""

import asyncio
import os
import re
from pathlib import Path

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")
DIGIT = r"(?:\d|zero|oh|one|two|three|four|five|six|seven|eight|nine)"
BETWEEN = r"[\s,.?!()-]*"
LONG_NUMBER = re.compile(rf"\b{DIGIT}(?:{BETWEEN}{DIGIT}){{4,}}\b", re.IGNORECASE)
LAST_DIGITS = re.compile(rf"\b{DIGIT}(?:{BETWEEN}{DIGIT})*{BETWEEN}$", re.IGNORECASE)
MOST_KEPT = 200  # characters of them


def mask(text: str, before: str = "") -> str:
    """`text` with every run of five digits or more replaced, those in `before` counted, with which it goes on."""
    whole, at = f"{before} {text}", len(before) + 1
    masked = ""
    for number in LONG_NUMBER.finditer(whole):
        if number.end() > at:
            masked += whole[at : max(at, number.start())] + "[number]"
            at = number.end()
    return masked + whole[at:]


class MaskDigits(FrameProcessor):
    """Masks long numbers in what the caller said. It wants no audio."""

    def __init__(self) -> None:
        super().__init__()
        self._before = ""  # the digits with which the caller's words have ended

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            said, frame.text = frame.text, mask(frame.text, self._before)
            if isinstance(frame, TranscriptionFrame):
                last = LAST_DIGITS.search(f"{self._before} {said}"[-MOST_KEPT:])
                self._before = last[0] if last else ""
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._before = ""  # what the caller says next answers that
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
