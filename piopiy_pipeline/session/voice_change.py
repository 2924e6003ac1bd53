"""`VoiceChange`: gives a call another voice and another language while it runs, and the first ones again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

Spoken = tuple[str | TTSService | None, str | None]
"""A voice and a language. None: those that the call began with."""


class VoiceChange:
    """Changes the settings of a pipeline's STT and TTS. A change holds for what is said and heard after it.

    A call has one: the persona that has the call and the caller's language change the same settings. What was said last
    counts; when the call comes back from a persona, the caller's language holds as it is then.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: CallPipeline) -> None:
        self.pipeline = pipeline
        self.begins_in = ""
        """The language in which the call begins, if its author has said so."""
        self.followed = False
        """Whether the caller has changed the language since the persona took the call."""
        self._of_caller: Spoken = None, None
        self._of_persona: Spoken = None, None
        self._language: str | None = None
        self._listeners: list[Callable[[str | None], None]] = []
        self._changing = asyncio.Lock()
        self._first: dict[Any, tuple[Any, Any]] = {}  # of each service: voice and language before any change
        self._now: dict[Any, tuple[Any, Any]] = {}  # and what they are, with what is on its way
        self._first_service: Any = None

    @property
    def _stt(
        self,
    ) -> Any:  # looked for at each change: until the call runs, a test may put another one in its place
        return self.pipeline.find(STTService) or _switch_of(self.pipeline, STTService)

    @property
    def _tts(self) -> Any:
        return self.pipeline.find(TTSService) or _switch_of(self.pipeline, TTSService)

    @property
    def has_tts(self) -> bool:
        """Whether a TTS speaks, and not the model itself."""
        return self._tts is not None

    def watch(self, listener: Callable[[str | None], None]) -> None:
        """Have somebody told the language whenever it changes. None: the one that the call began with."""
        self._listeners.append(listener)

    def check(self, voice: str | TTSService | None) -> None:
        """Raise `ValueError` if the voice is a service that the pipeline does not have."""
        tts = self._tts
        if not isinstance(voice, TTSService) or voice is tts:
            return
        if not (isinstance(tts, ServiceSwitch) and voice in tts):
            raise ValueError(f"the voice {voice} is not among the services that Action(tts=[...]) was given")

    async def hand_over(
        self, voice: str | TTSService | None, language: str | None, *, followed: bool = False
    ) -> None:
        """Change to what a persona speaks. None: what would be spoken without one.

        Args:
            voice: Its voice.
            language: Its language.
            followed: Whether the caller has changed the language since, in a call that another instance has lost.
        """
        self._of_persona, self.followed = (voice, language), followed
        await self._change()

    async def follow(
        self, voice: str | TTSService | None, language: str | None, *, again: bool = False
    ) -> None:
        """Change to the caller's language, and to a voice for it. None: what the call began with.

        Args:
            voice: The voice for it. None: that of the persona, if one has the call.
            language: The language.
            again: Whether the caller has spoken it before, to another instance: the persona may have come later.
        """
        self._of_caller, self.followed = (voice, language), self.followed or not again
        await self._change()

    def _spoken(self) -> Spoken:
        (voice, language), (its_voice, its_language) = self._of_caller, self._of_persona
        if self.followed:
            return voice or its_voice, language
        return its_voice or voice, its_language or language

    async def _change(self) -> None:
        async with self._changing:
            voice, language = self._spoken()
            tts, stt = self._tts, self._stt
            if isinstance(tts, ServiceSwitch):
                self._first_service = self._first_service or tts.active
                await tts.switch_to(voice if isinstance(voice, TTSService) else self._first_service)
            if tts is not None:
                spoken = self._changed(tts, voice if isinstance(voice, str) else None, language)
                if spoken:
                    await tts.queue_frame(TTSUpdateSettingsFrame(delta=TTSSettings(**spoken)))
            if stt is not None:
                heard = self._changed(stt, None, language)
                if heard:
                    await stt.queue_frame(STTUpdateSettingsFrame(delta=STTSettings(**heard)))
            if language != self._language:
                self._language = language
                for listener in self._listeners:
                    listener(language)

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
