"""The bots of the cascade's tests with a model that hears and speaks instead of three services.

What a test has scripted stays: the server of the model says what the scripted LLM would, sounds as the scripted TTS and
hears what the scripted STT does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline import testing
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import OpenAIRealtimeServer, ScriptedLLM, ScriptedSTT, ScriptedTTS, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS

__all__ = ["Action", "speech_to_speech"]

Action = Callable[..., Any]


def speech_to_speech(action: Action) -> Action:
    """Return `VoiceAgent.Action` for a test: given scripted services it makes a pipeline with one model."""

    async def build(
        agent: VoiceAgent, *, stt: Any = None, llm: Any = None, tts: Any = None, **options: Any
    ) -> CallPipeline:
        if not (isinstance(stt, ScriptedSTT) and isinstance(llm, ScriptedLLM)):
            raise TypeError("these services are not scripted: this is a test of three services")
        options.pop("eager", None)
        model = await _model(agent.call, llm, stt, tts)
        pipeline: CallPipeline = await action(agent, llm=model, **options)
        return pipeline

    return build


async def _model(call: Call, llm: ScriptedLLM, stt: ScriptedSTT, tts: Any) -> OpenAIRealtimeLLMService:
    voice = tts._script if isinstance(tts, ScriptedTTS) else Voice()
    if type(tts) not in (ToneTTS, testing.ScriptedTTS):
        raise AssertionError(f"{type(tts).__name__} is a voice of its own: this is a test of three services")
    server = OpenAIRealtimeServer(llm._script, voice=voice, ears=stt._script, spoken=stt._spoken)
    call.on("end", lambda _: server.stop())
    return OpenAIRealtimeLLMService(api_key="none", base_url=(await server.start()).url)
