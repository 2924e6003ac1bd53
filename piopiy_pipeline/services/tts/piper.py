"""Text to speech without keys, in a voice that one likes to listen to: piper behind pipecat's `TTSService`.

pipecat's own piper service computes in the agent's process, downloads the voice while a call starts, and knows no
word times. Here it speaks in worker processes that all calls share (`piper_worker.py`), a second of audio a request: a
sentence begins after some 50 ms however long it is, a barge-in costs what one request costs, and calls take
turns.

piper is GPL-3: it is an optional extra, in processes of its own, and this module imports nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pipecat.services.settings import ServiceSettings, TTSSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven, is_given, require_given

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.services.tts.clauses import clauses
from piopiy_pipeline.services.tts.encoded_sentence import EncodedSentence, PhonemeSentence
from piopiy_pipeline.services.tts.local_tts import LocalTTSService, SpeechPiece
from piopiy_pipeline.services.tts.piper_files import PiperVoiceFiles, find_piper_voice
from piopiy_pipeline.services.tts.speech_cache import SpeechCache
from piopiy_pipeline.services.workers.worker_pool import Lease, WorkerPool, shared_pool

__all__ = ["PiperTTSService", "PiperTTSSettings", "piper_pool"]

SENTENCE_PAUSE_S = 0.2
"""Seconds of silence between two sentences, beside the 0.1 s that a sentence keeps of its own."""
CLAUSE_PAUSE_S = 0.05
"""The same between two clauses of a sentence that is so long that it is cut."""
CACHE = 16 * 1024 * 1024
"""Bytes of speech that the process keeps: some 8 minutes at 16 kHz."""
MAX_WORKERS = 4
"""Worker processes at most: one serves some ten calls that speak at once."""

_cache = SpeechCache(CACHE)


def piper_pool() -> WorkerPool:
    """Return the pool of piper processes that all calls of this process share: one for every two cores."""
    size = max(1, min(MAX_WORKERS, (os.cpu_count() or 1) // 2))
    return shared_pool("piopiy_pipeline.services.tts.piper_worker", name="piper", size=size)


@dataclass
class PiperTTSSettings(TTSSettings):
    """What can be changed while a call runs.

    Args:
        voice: A voice, as `find_piper_voice` takes it. None: the one of the extra ``piper``.
        speed: How fast it speaks: 1 is the voice's own speed; 0.5 to 2.
    """

    speed: float | NotGiven = field(default_factory=lambda: NOT_GIVEN)


class PiperTTSService(LocalTTSService):
    """Speaks with piper at the pipeline's output rate, and reports the time of each word.

    The same text is always spoken in the same way, and what was said before need not be made again.

    If a worker process is lost, the sentence is finished by another; if that one is lost too, it pushes an
    `ErrorFrame`, and tries again with the next sentence.

    Args:
        voice: The path of an ``.onnx`` file with its ``.json`` beside it, or the name of a voice that was
            downloaded with ``python -m piper.download_voices``. None: en_US-joe-medium, of the extra
            ``piper``.
        speed: How fast it speaks: 1 is the voice's own speed; 0.5 to 2.
        sample_rate: The rate of its audio in Hz. None: the pipeline's output rate.
        pool: The worker processes to use. None: those that all calls of this process share.

    Raises:
        PiperVoiceMissing: The voice is not here. The message has the command that fetches it.
        ValueError: The speed is out of range.
    """

    Settings = PiperTTSSettings

    def __init__(
        self,
        *,
        voice: str | None = None,
        speed: float = 1.0,
        sample_rate: int | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        settings = PiperTTSSettings(model=None, voice=voice, language=None, speed=speed)
        files = _check(settings)
        assert files is not None
        super().__init__("piper", settings=settings, sample_rate=sample_rate, pool=pool or piper_pool())
        self._voice_settings = settings
        self._voice_files = files
        for worker in self._voice_pool.workers:
            worker.first = ("load", files)  # after a death

    async def speak(self, text: str, lease: Lease, rate: int) -> AsyncGenerator[SpeechPiece]:
        """Make the speech of a text, piece by piece. What is not asked for is not computed."""
        files = self._voice_files  # a change of settings is for the next text
        speed = require_given(self._voice_settings.speed, "speed")
        pause_s = SENTENCE_PAUSE_S
        for clause in clauses(text):
            key = (files, speed, rate, pause_s, clause)
            known = _cache.get(key)
            for piece in known or ():
                yield piece
            if known is None:
                made: list[SpeechPiece] = []
                async with aclosing(_speak_clause(clause, lease, files, speed, rate, pause_s)) as pieces:
                    async for piece in pieces:
                        made.append(piece)
                        yield piece
                _cache.put(key, made)
            pause_s = SENTENCE_PAUSE_S if clause.endswith((".", "!", "?")) else CLAUSE_PAUSE_S

    # mypy sees AIService's wider parameter; pipecat's own TTSService narrows it in the same way.
    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:  # type: ignore[override]
        files = _check(delta)
        changed = await super()._update_settings(delta)
        self._voice_files = files or self._voice_files
        return changed


async def _speak_clause(
    clause: str, lease: Lease, files: PiperVoiceFiles, speed: float, rate: int, pause_s: float
) -> AsyncGenerator[SpeechPiece]:
    waiting: list[str | PhonemeSentence] = [clause]
    while waiting:
        sentence: EncodedSentence | None
        sentence, begun, further = await lease.call("begin", files, waiting.pop(0), speed, rate)
        waiting += further
        if sentence is None:  # a dash, an emoji: a word that takes its time, and is not an error
            words = tuple((word, 0.0) for word in clause.split())
            yield SpeechPiece(bytes(2 * int(SENTENCE_PAUSE_S * rate)), words)
            return
        async with aclosing(_speak_sentence(sentence, begun, lease, files, rate, pause_s)) as pieces:
            async for piece in pieces:
                yield piece
        pause_s = SENTENCE_PAUSE_S


async def _speak_sentence(
    sentence: EncodedSentence, begun: bytes, lease: Lease, files: PiperVoiceFiles, rate: int, pause_s: float
) -> AsyncGenerator[SpeechPiece]:
    """Go on with a sentence of which the first chunk is there."""
    words, start = sentence.words, 0.0
    for chunk, latents in sentence.chunks(rate):
        pcm = begun if chunk.first else await lease.call("decode", files, latents, chunk, rate)
        end = start + len(pcm) / 2 / rate
        inside = tuple((word, at - start) for word, at in words if at < end or chunk.last)
        words = words[len(inside) :]
        yield SpeechPiece(pcm, inside, pause_s if chunk.first else 0.0)
        start = end


def _check(settings: ServiceSettings) -> PiperVoiceFiles | None:
    """Check what is given, and find the voice, if one is given."""
    if not isinstance(settings, PiperTTSSettings):
        return None
    speed = settings.speed
    if is_given(speed) and not (
        isinstance(speed, int | float) and not isinstance(speed, bool) and 0.5 <= speed <= 2
    ):
        raise ValueError(f"piper: speed is {shown(speed)}; it must be a number from 0.5 to 2")
    return find_piper_voice(settings.voice) if is_given(settings.voice) else None
