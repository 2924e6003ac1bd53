"""A provider of your own: any command that writes a WAV file to its standard output becomes the bot's voice.

A pipecat TTS service is a class with `run_tts`, which yields audio frames. This one starts the command
for each sentence, passes the audio on while it comes, and kills the command when the caller cuts in.

    VOICE_COMMAND="espeak-ng --stdout" piopiy dev examples/own_provider.py
    VOICE_COMMAND="flite -o /dev/stdout -t" piopiy dev examples/own_provider.py
"""

import asyncio
import contextlib
import os
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.services.providers import build, chosen, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")
SENTENCE_S = 20.0
"""How long the command may take for one sentence: every wait has an end."""


async def spoken(command: str, text: str, rate: int) -> AsyncGenerator[bytes, None]:
    """What `command` says: PCM16 mono at `rate` Hz, in pieces of 0.2 s, while it comes."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        f" {text}",  # not "-5 degrees", which the command would take for an option
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SENTENCE_S):
            header = await process.stdout.readexactly(44)
            if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
                raise ValueError("what it writes is no WAV file")
            its_rate = int.from_bytes(header[24:28], "little")
            resampler = Resampler(its_rate, rate) if its_rate != rate else None
            while pcm := await _read(process.stdout, its_rate // 5 * 2):
                yield pcm if resampler is None else resampler.process(pcm)
    finally:  # also when the caller cuts in: pipecat then closes this generator
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _read(stream: asyncio.StreamReader, size: int) -> bytes:
    """`size` bytes, or what is left of them at the end: whole samples only."""
    try:
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError as rest:
        return rest.partial[: len(rest.partial) // 2 * 2]


class CommandTTSService(TTSService):
    """Speaks with a command: its last argument is the text, its output a WAV file, 16 bits, mono."""

    def __init__(self, command: str) -> None:
        settings = TTSSettings(model=None, voice=None, language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings)
        self._command = command

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        try:
            async with contextlib.aclosing(spoken(self._command, text, self.sample_rate)) as pieces:
                async for pcm in pieces:
                    yield TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            # An ErrorFrame is all it takes: the call apologises, tries once more, and then ends cleanly.
            yield ErrorFrame(error=f"{self._command}: {type(error).__name__}: {error}")


async def on_new_session(call_id: str) -> None:
    voice_agent = VoiceAgent(
        instructions="You answer questions of callers of a restaurant. Be brief.",
        greeting="Olive and Thyme, good day. How can I help you?",
    )
    await voice_agent.Action(
        stt=build("stt", chosen("stt"), playbook=PLAYBOOK),
        llm=build("llm", chosen("llm"), playbook=PLAYBOOK),
        tts=CommandTTSService(os.getenv("VOICE_COMMAND", "espeak-ng --stdout")),
    )
    await voice_agent.start()


async def main() -> None:
    await prepare(("stt",), playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "own_provider"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
