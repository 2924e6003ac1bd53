"""`VoiceChange`: gives a call another voice and another language while it runs, and the first ones again."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import STTUpdateSettingsFrame, TTSUpdateSettingsFrame
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.types import is_given

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["VoiceChange"]


class VoiceChange:
    """Changes the settings of a pipeline's STT and TTS. A change holds for what is said and heard after it.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: CallPipeline) -> None:
        self._stt = pipeline.find(STTService) or _switch_of(pipeline, STTService)
        self._tts = pipeline.find(TTSService) or _switch_of(pipeline, TTSService)
        self._first: dict[Any, tuple[Any, Any]] = {}  # of each service: voice and language before any change
        self._now: dict[Any, tuple[Any, Any]] = {}  # and what they are, with what is on its way
        self._first_service: Any = None

    def check(self, voice: str | TTSService | None) -> None:
        """Raise `ValueError` if the voice is a service that the pipeline does not have."""
        if not isinstance(voice, TTSService) or voice is self._tts:
            return
        if not (isinstance(self._tts, ServiceSwitch) and voice in self._tts):
            raise ValueError(f"the voice {voice} is not among the services that Action(tts=[...]) was given")

    async def change(self, voice: str | TTSService | None, language: str | None) -> None:
        """Change to a voice and a language. None: those that the call began with."""
        if isinstance(self._tts, ServiceSwitch):
            self._first_service = self._first_service or self._tts.active
            await self._tts.switch_to(voice if isinstance(voice, TTSService) else self._first_service)
        if self._tts is not None:
            spoken = self._changed(self._tts, voice if isinstance(voice, str) else None, language)
            if spoken:
                await self._tts.queue_frame(TTSUpdateSettingsFrame(delta=TTSSettings(**spoken)))
        if self._stt is not None:
            heard = self._changed(self._stt, None, language)
            if heard:
                await self._stt.queue_frame(STTUpdateSettingsFrame(delta=STTSettings(**heard)))

    def _changed(self, stage: Any, voice: str | None, language: str | None) -> dict[str, Any]:
        """Return the settings of a stage's active service that have to change."""
        service: Any = stage.active if isinstance(stage, ServiceSwitch) else stage
        settings = service.settings
        is_now = (getattr(settings, "voice", None), getattr(settings, "language", None))
        first = self._first.setdefault(service, is_now)
        now = self._now.get(service, first)
        wanted = voice or first[0], Language(language) if language is not None else first[1]
        self._now[service] = wanted
        names = zip(("voice", "language"), wanted, now, strict=True)
        return {name: new for name, new, old in names if new != old and is_given(new)}


def _switch_of(pipeline: CallPipeline, kind: type) -> ServiceSwitch | None:
    for name in pipeline.names:
        stage = pipeline[name]
        if isinstance(stage, ServiceSwitch) and isinstance(stage.active, kind):
            return stage
    return None
