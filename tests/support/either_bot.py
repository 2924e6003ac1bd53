"""The bots of the cascade's tests with a model that hears and speaks instead of three services.

What a test has scripted stays: the server of the model says what the scripted LLM would, sounds as the scripted TTS and
hears what the scripted STT does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session import DEFAULT_ERROR_LINE, Call
from piopiy_pipeline.testing import OpenAIRealtimeServer, ScriptedLLM, ScriptedSTT, ScriptedTTS, Voice
from piopiy_pipeline.testing.scripted.scripted_tts import SoundedText
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS, word_times

__all__ = ["Action", "speech_to_speech"]

Action = Callable[..., Any]


def speech_to_speech(action: Action) -> Action:
    """Return `VoiceAgent.Action` for a test: given scripted services it makes a pipeline with one model."""

    async def build(
        agent: VoiceAgent, *, stt: Any = None, llm: Any = None, tts: Any = None, **options: Any
    ) -> CallPipeline:
        if isinstance(llm, OpenAIRealtimeLLMService):
            pipeline: CallPipeline = await action(agent, llm=llm, **options)  # it was made before
            return pipeline
        if not (isinstance(stt, ScriptedSTT) and isinstance(llm, ScriptedLLM)):
            raise TypeError("these services are not scripted: this is a test of three services")
        for about_three in ("eager", "llm_first_token_secs", "llm_between_tokens_secs"):
            options.pop(about_three, None)
        if agent._error_line is not None:
            agent._error_line = DEFAULT_ERROR_LINE  # a recording is heard in its place
        model = await _model(agent.call, llm, stt, tts)
        pipeline = await action(agent, llm=model, **options)
        for name, tool in llm._functions.items():  # of an author who has registered them at the service
            model._functions.setdefault(name, tool)
        return pipeline

    return build


async def _model(call: Call, llm: ScriptedLLM, stt: ScriptedSTT, tts: Any) -> OpenAIRealtimeLLMService:
    server = OpenAIRealtimeServer(llm._script, voice=_voice(tts), ears=stt._script, spoken=stt._spoken)
    await server.start()
    if call.ended:
        await server.stop()
    else:
        call.on("end", lambda _: server.stop())
    language = getattr(tts.settings, "language", None)
    if not language:
        return OpenAIRealtimeLLMService(api_key="none", base_url=server.url)
    hearing = events.AudioInput(transcription=events.InputAudioTranscription(language=language))
    properties = events.SessionProperties(audio=events.AudioConfiguration(input=hearing))
    settings = OpenAIRealtimeLLMService.Settings(session_properties=properties)
    return OpenAIRealtimeLLMService(api_key="none", base_url=server.url, settings=settings)


def _voice(tts: Any) -> Voice:
    if type(tts) is ScriptedTTS:
        return tts._script
    if isinstance(tts, ToneTTS) and type(tts).run_tts is ToneTTS.run_tts and not tts.failures_left:
        return _ToneVoice(tts)
    raise AssertionError(f"{type(tts).__name__} is a voice of its own: this is a test of three services")


@dataclass(frozen=True)
class _ToneVoice(Voice):
    """Sounds as a TTS of the tests does, and has it remember what was said."""

    tts: ToneTTS

    def __init__(self, tts: ToneTTS) -> None:
        super().__init__()
        object.__setattr__(self, "tts", tts)

    def speak(self, text: str, rate: int) -> SoundedText:
        self.tts.said.append(text)
        return SoundedText(self.tts.sound(text, rate), word_times(text))
