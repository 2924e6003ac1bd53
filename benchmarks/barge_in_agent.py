"""The agent of `barge_in_line`: a bot that speaks without a pause, and hears nothing but the VAD.

python -m benchmarks.barge_in_agent --url ws://127.0.0.1:7860 --agent bot --token ... --interruption held
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator

import numpy as np
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Replies, ScriptedLLM, ScriptedSTT, Transcripts
from piopiy_pipeline.voice_agent import VoiceAgent

SPEECH_S = 20.0


class SteadyVoice(TTSService):
    """Says everything with a steady sound, whose end cannot be taken for a pause."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        n = int(SPEECH_S * self.sample_rate)
        pcm = (6000 * np.sin(np.arange(n) * 2 * np.pi * 440 / self.sample_rate)).astype("<i2").tobytes()
        step = self.sample_rate // 5 * 2
        for at in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[at : at + step], self.sample_rate, 1, context_id=context_id)


def main() -> None:
    """Serve calls until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for option in ("url", "agent", "token", "interruption"):
        parser.add_argument(f"--{option}", required=True)
    options = parser.parse_args()

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="a long explanation", call=call)
        await agent.Action(
            stt=ScriptedSTT(Transcripts(texts=())),
            llm=ScriptedLLM(Replies(otherwise="Yes?")),
            tts=SteadyVoice(),
            interruption=options.interruption,
        )
        await agent.start()

    asyncio.run(
        Agent(
            agent_id=options.agent,
            agent_token=options.token,
            create_session=bot,
            signaling_url=options.url,
        ).connect()
    )


if __name__ == "__main__":
    main()
