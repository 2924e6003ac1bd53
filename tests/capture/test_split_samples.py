"""A provider may cut its audio at any byte: a capture has the samples that were heard, and not their halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import TTSAudioRawFrame

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, replay, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

SENTENCES = ("Welcome to the Blue Door.", "What can I do for you?")


class Splits(ToneTTS):
    """Its pieces have an odd number of bytes."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        pcm = self.sound(text, self.sample_rate).tobytes()
        for at in range(0, len(pcm), 999):
            yield TTSAudioRawFrame(pcm[at : at + 999], self.sample_rate, 1, context_id=context_id)


async def bot(call: Call) -> None:
    agent = VoiceAgent(instructions="Be brief.", greeting=" ".join(SENTENCES), call=call)
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=Splits())
    await agent.start()


@pytest.fixture
def captured(tmp_path: Path) -> CapturedCall:
    path = tmp_path / "call.zip"
    call = simulate(bot, Caller().pause(5).hangup(), record=path)
    assert call.bot_audio.any()
    return CapturedCall(path)


def test_the_speech_of_a_capture_has_every_sample_once(captured: CapturedCall) -> None:
    speech = captured.speech(16_000)
    pieces = [line.data for line in captured.exchanges if (line.stage, line.kind) == ("tts", "audio")]
    assert sum(piece["samples"] for piece in pieces) == speech.size
    said = np.concatenate([ToneTTS().sound(text, 16_000) for text in (" ".join(SENTENCES),)])
    assert speech[: said.size].tolist() == said[: speech.size].tolist()
    assert abs(speech.size - said.size) <= 1


def test_a_replay_says_the_same_samples(captured: CapturedCall) -> None:
    again = replay(captured, bot)
    heard, said = (audio[audio != 0] for audio in (captured.bot, again.replayed.bot))
    assert heard.tolist() == said[: heard.size].tolist()
