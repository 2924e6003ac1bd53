"""A speech-to-speech call over real sockets: gateway, agent and the provider's server, on the clock of the wall."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import OpenAIRealtimeServer, Replies, Transcripts
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import CallLog, eventually, house
from tests.support.realtime_calls import GREETING, LONG

pytestmark = pytest.mark.realtime


def test_a_caller_interrupts_and_is_answered() -> None:
    ears = Transcripts(texts=["a table please", "no wait"])

    async def scenario() -> None:
        async with OpenAIRealtimeServer(Replies(LONG, "Bye."), ears=ears) as server:

            async def bot(call_id: str) -> None:
                agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
                await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none", base_url=server.url))
                await agent.start()

            async with house(bot) as place:
                log = await place.call("booking/01-people.wav", "booking/03-yes.wav", interrupt_s=1.5)
            said = log.texts("bot")
            assert said[-1] == "Bye."
            assert log.texts("user") == ["a table please", "no wait"]
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.of("latency"), "measured by the sound, whenever the words come"
            partly = [data["text"] for data in log.of("user_partial")]
            assert all("a table please".startswith(text) or "no wait".startswith(text) for text in partly)
            assert GREETING.startswith(said[0])
            cuts = [cut.audio_end_ms for cut in server.session.truncations]
            assert cuts
            assert all(cut < 4000 for cut in cuts), "what was heard, and not what was sent"

    asyncio.run(scenario())


def test_a_recording_of_the_call_has_both_sides(tmp_path: Path) -> None:
    """The gateway's stereo WAV: the caller left, the model's own voice right."""

    async def scenario() -> None:
        async with OpenAIRealtimeServer(
            Replies("A table for two.", "Bye."), ears=Transcripts(texts=["a table please", "no thanks"])
        ) as server:

            async def bot(call_id: str) -> None:
                agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
                await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none", base_url=server.url))
                await agent.start()

            async with house(bot, records=True, record=True, data_folder=tmp_path) as place:
                log = await place.call("booking/01-people.wav", "booking/03-yes.wav")
                await eventually(lambda: list(tmp_path.rglob("*.wav")))
                await eventually(lambda: place.ended())
        assert log.texts("bot") == [GREETING, "A table for two.", "Bye."]
        logs.append(log)

    logs: list[CallLog] = []
    asyncio.run(scenario())
    pcm, rate = soundfile.read(next(tmp_path.rglob("*.wav")), dtype="int16", always_2d=True)
    assert pcm.shape[1] == 2
    caller_s, bot_s = (np.count_nonzero(np.abs(pcm[:, side]) > 200) / rate for side in (0, 1))
    heard_s = np.count_nonzero(np.abs(logs[0].heard) > 200) / logs[0].rate
    assert caller_s > 1.0, "what the caller said"
    assert bot_s == pytest.approx(heard_s, rel=0.1), "what was heard of the model's own voice"
