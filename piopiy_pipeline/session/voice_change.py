"""`VoiceChange`: gives a call another voice and another language while it runs, and the first ones again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import STTUpdateSettingsFrame, TTSUpdateSettingsFrame
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.types import is_given

from piopiy_pipeline.error_text import own_text
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
        self._first_service: Any = None  # that speaks where no service is wanted
        self._wanted: TTSService | None = None
        self._given: Any = None  # what was active when it was switched to
        self._watched: set[Any] = set()

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
            await self._use_service(voice if isinstance(voice, TTSService) else None)
            for stage in (self._tts, self._stt):
                service = stage.active if isinstance(stage, ServiceSwitch) else stage
                if isinstance(stage, ServiceSwitch) and stage not in self._watched:
                    self._watched.add(stage)
                    stage.add_event_handler("on_active", self._has_become_active)
                if service is not None:
                    await self._tell(service, voice if isinstance(voice, str) else None, language)
            if language != self._language:
                self._language = language
                for listener in self._listeners:
                    listener(language)

    async def _use_service(self, wanted: TTSService | None) -> None:
        """Have this service of a list speak; None: the one that spoke before one was wanted.

        Who has taken a service's place since, because it has failed or an author wants it so, goes on.
        """
        tts = self._tts
        if not isinstance(tts, ServiceSwitch) or wanted is self._wanted:
            return
        was_wanted, self._wanted = self._wanted, wanted
        if was_wanted is None:
            self._first_service = tts.active
        elif wanted is None and not (tts.active is self._given and self._first_service.is_usable):
            return
        try:
            await tts.switch_to(wanted or self._first_service)
        except Exception as error:  # noqa: BLE001  whatever a provider's set-up raises, the call goes on
            logger.opt(exception=error).error(
                "the voice {} did not start, and the one before goes on: {}", wanted, own_text(error)
            )
        self._given = tts.active

    async def _has_become_active(self, _switch: ServiceSwitch, service: Any) -> None:
        """Have a service that takes another one's place speak or hear as that one did."""
        voice, language = self._spoken()
        same = any(type(service) is type(other) for other in self._now)  # it knows the voice by this name
        await self._tell(service, voice if same and isinstance(voice, str) else None, language)

    async def _tell(self, service: Any, voice: str | None, language: str | None) -> None:
        speaks = isinstance(service, TTSService)
        changed = self._changed(service, voice if speaks else None, language)
        if changed and speaks:
            await service.queue_frame(TTSUpdateSettingsFrame(delta=TTSSettings(**changed)))
        elif changed:
            await service.queue_frame(STTUpdateSettingsFrame(delta=STTSettings(**changed)))

    def _changed(self, service: Any, voice: str | None, language: str | None) -> dict[str, Any]:
        """Return the settings of a service that have to change."""
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
