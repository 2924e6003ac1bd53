"""Text to speech without keys and without an account: espeak-ng behind pipecat's `TTSService`.

It is the small and quick one of the two voices; `piper.py` is the one that sounds like a person.
espeak-ng is GPL-3: it is an optional extra, in a process of its own (`espeak_worker.py`), and this
module imports nothing of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from pipecat.services.settings import ServiceSettings, TTSSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven, is_given

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.services.tts.clauses import clauses
from piopiy_pipeline.services.tts.local_tts import LocalTTSService, SpeechPiece
from piopiy_pipeline.services.workers.worker_pool import Lease, WorkerPool, shared_pool

__all__ = ["EspeakTTSService", "EspeakTTSSettings", "espeak_pool"]

PAUSE_S = 0.25
"""Seconds of silence between two sentences of one turn."""


def espeak_pool() -> WorkerPool:
    """Return the pool of the one espeak-ng process that serves all calls of this process. It is fast enough
    for a thousand.
    """
    pool = shared_pool("piopiy_pipeline.services.tts.espeak_worker", name="espeak", size=1)
    for worker in pool.workers:
        worker.first = ("load",)  # after a death
    return pool


@dataclass
class EspeakTTSSettings(TTSSettings):
    """What can be changed while a call runs.

    Args:
        voice: One of espeak-ng's voices, such as ``"en-us"``, ``"en-gb+f3"`` or ``"de"``.
        rate: How fast it speaks, in words a minute: 80 to 450.
        pitch: How high it speaks, from 0 to 99.
    """

    rate: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    pitch: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)


class EspeakTTSService(LocalTTSService):
    """Speaks with espeak-ng at the pipeline's output rate, and reports the time of each word.

    If the worker process is lost, the sentence is finished by another. If that one is lost too, or the voice does not
    exist, it pushes an `ErrorFrame`, and tries again with the next sentence.

    Args:
        voice: One of espeak-ng's voices, such as ``"en-us"``, ``"en-gb+f3"`` or ``"de"``.
        rate: How fast it speaks, in words a minute: 80 to 450.
        pitch: How high it speaks, from 0 to 99.
        sample_rate: The rate of its audio in Hz. None: the pipeline's output rate.
        pool: The worker process to use. None: the one that all calls of this process share.

    Raises:
        ValueError: The rate or the pitch is out of range.
    """

    Settings = EspeakTTSSettings

    def __init__(
        self,
        *,
        voice: str = "en-us",
        rate: int = 165,
        pitch: int = 50,
        sample_rate: int | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        settings = EspeakTTSSettings(model=None, voice=voice, language=None, rate=rate, pitch=pitch)
        _check(settings)
        super().__init__("espeak-ng", settings=settings, sample_rate=sample_rate, pool=pool or espeak_pool())
        self._voice_settings = settings

    async def speak(self, text: str, lease: Lease, rate: int) -> AsyncGenerator[SpeechPiece]:
        """Make the speech of a text, clause by clause."""
        settings = self._voice_settings
        for clause in clauses(text):
            pcm, words = await lease.call(
                "speak", clause, settings.voice, settings.rate, settings.pitch, rate
            )
            yield SpeechPiece(pcm, tuple(words), PAUSE_S)

    # mypy sees AIService's wider parameter; pipecat's own TTSService narrows it in the same way.
    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:  # type: ignore[override]
        _check(delta)
        return await super()._update_settings(delta)


def _check(settings: ServiceSettings) -> None:
    if not isinstance(settings, EspeakTTSSettings):
        return
    for name, low, high in (("rate", 80, 450), ("pitch", 0, 99)):
        value = getattr(settings, name)
        if is_given(value) and not (isinstance(value, int) and low <= value <= high):
            raise ValueError(
                f"espeak: {name} is {shown(value)}; it must be a whole number from {low} to {high}"
            )
