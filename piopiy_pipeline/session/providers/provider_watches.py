"""`ProviderWatches`: what is watched of the STTs and the voices of one call, because they report nothing of it.

A model that speaks itself is a voice, too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pipecat.frames.frames import ErrorFrame
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.compat.pipecat import keep_turn_open, say_collected_text
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.sentence_end_frame import SentenceEndFrame
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.providers.kept_finals import keep_finals
from piopiy_pipeline.session.providers.missing_finals import FinalsWatch
from piopiy_pipeline.session.providers.mute_sentence import watch_sentences
from piopiy_pipeline.session.providers.mute_stt import MuteWatch
from piopiy_pipeline.session.providers.mute_voice import watch_voice
from piopiy_pipeline.session.providers.provider_failures import ProviderFailures
from piopiy_pipeline.session.providers.repeats_filter import drop_repeated_words
from piopiy_pipeline.session.providers.stage_errors import services_of
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["ProviderWatches"]

VOICE_S = 2.5
"""If there are several voices, a sentence may take this long until the next one is asked to say it, in seconds."""


class ProviderWatches:
    """Watches the STTs and the voices of one pipeline. To be made before the pipeline runs.

    Args:
        state: The call.
        pipeline: The pipeline.
        failures: Is told what is wrong.
        monitor: Is told whether words of the caller are waited for.
        output: Is told that a voice has failed.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        *,
        failures: ProviderFailures,
        monitor: CallMonitor,
        output: BotOutput,
    ) -> None:
        self._state = state
        self._pipeline = pipeline
        self._failures = failures
        self._monitor = monitor
        self._output = output
        services = services_of(pipeline)
        voices = [service for service in services if isinstance(service, TTSService)]
        self._add_tts_handlers(voices)
        for service in services:
            if isinstance(service, LLMService) and is_realtime(service):
                self._watch_speech(service)
        stts = [service for service in services if isinstance(service, STTService)]
        self._finals = [self._watch_finals(service) for service in stts]
        for service, finals in zip(stts, self._finals, strict=True):
            drop_repeated_words(service, made_here=finals.made)
            keep_finals(service)
        user = pipeline.find(LLMUserAggregator)
        if isinstance(user, LLMUserAggregator):
            keep_finals(user)
        self._mutes = [self._watch_mute(service) for service in stts]
        if len(voices) > 1:
            state.recovery.voice_patience_s = VOICE_S

    def close(self) -> None:
        """Watch no more."""
        for finals in self._finals:
            finals.close()
        for mute in self._mutes:
            mute.close()

    def _watch_finals(self, service: STTService) -> FinalsWatch:
        user = self._pipeline.find(LLMUserAggregator)
        return FinalsWatch(
            service,
            spawn=self._state.spawn,
            is_active=partial(self._failures.is_active, service),
            has_another=partial(self._failures.has_another, service),
            owes_final=partial(setattr, self._monitor, "owed_final"),
            keep_turn=partial(keep_turn_open, user) if isinstance(user, LLMUserAggregator) else lambda: None,
        )

    def _watch_mute(self, service: STTService) -> MuteWatch:
        control = self._state.control
        return MuteWatch(
            service,
            is_active=lambda: (
                not (control.on_hold or control.transferring or service.is_muted)
                and self._failures.is_active(service)
            ),
            owes_words=partial(setattr, self._monitor, "unheard_words"),
            is_mute=self._failures.stt_is_mute,
        )

    def _watch_speech(self, service: LLMService[Any]) -> None:
        async def is_mute(fault: str) -> None:
            self._failures.voice_failed(service, fault)

        watch_voice(
            service,
            is_active=partial(self._failures.is_active, service),
            made=self._failures.voice_made,
            is_mute=is_mute,
        )

    def _add_tts_handlers(self, voices: list[TTSService]) -> None:
        """Note a failure of a TTS before the mark after the text passes, which would count as heard."""

        async def failed(stage: FrameProcessor, error: ErrorFrame) -> None:
            if error.category is ErrorCategory.APPLICATION:
                return  # a sentence that it leaves out, and nobody else could say
            self._state.utterances.tts_failed()
            self._output.voice_failed()

        async def switched(switch: ServiceSwitch, service: FrameProcessor) -> None:
            self._state.utterances.tts_changed()

        async def sentence_ends(stage: TTSService, _frame: SentenceEndFrame) -> None:
            await say_collected_text(stage)

        for voice in voices:
            is_active = partial(self._failures.is_active, voice)
            voice.add_event_handler("on_error", failed)
            watch_voice(voice, is_active=is_active, made=self._failures.voice_made, is_mute=voice.push_error)
            has_another = partial(self._failures.has_another, voice)
            watch_sentences(voice, is_active=is_active, has_another=has_another)
            watch_taken(voice, sentence_ends, SentenceEndFrame)
        for name in self._pipeline.names:
            stage = self._pipeline[name]
            if isinstance(stage, ServiceSwitch) and isinstance(stage.active, TTSService):
                stage.add_event_handler("on_switched", switched)
