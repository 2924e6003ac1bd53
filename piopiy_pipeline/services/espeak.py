"""Text to speech without keys and without an account: espeak-ng behind pipecat's `TTSService`.

It knows when each word begins, so that after an interruption the conversation holds what was heard.
espeak-ng is GPL-3: it is an optional extra, in a process of its own (`espeak_worker.py`), and this
module imports nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.settings import ServiceSettings, TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.utils.types import NOT_GIVEN, NotGiven, is_given

from piopiy_pipeline.services.workers import WorkerFailed, WorkerLost, WorkerPool, shared_pool

__all__ = ["EspeakTTSService", "EspeakTTSSettings", "clauses", "espeak_pool"]

CHUNK_S = 0.2
"""Seconds of audio in one frame."""
PAUSE_S = 0.25
"""Seconds of silence between two sentences of one turn."""
CLAUSE = 160
"""A sentence of more characters is spoken clause by clause, so that its beginning does not wait for its end."""


def espeak_pool() -> WorkerPool:
    """Return the pool of the one espeak-ng process that serves all calls of this process. It is fast enough
    for a thousand.
    """
    return shared_pool("piopiy_pipeline.services.espeak_worker", name="espeak", size=1)


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


class EspeakTTSService(TTSService):
    """Speaks with espeak-ng at the pipeline's output rate, and reports the time of each word.

    If a voice does not exist, or the worker process is lost, it pushes an `ErrorFrame`, and tries again with
    the next
    sentence.

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
    runs_locally = True
    """It asks no network provider, so a capture leaves it out and a replay runs it."""

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
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,  # words come with their times
            sample_rate=sample_rate,
            settings=settings,
        )
        self._voice_settings = settings
        self._voice_pool = pool or espeak_pool()
        self._spoken_s: dict[str, float] = {}  # audio so far, by context: its word times go on from there

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time to its first audio."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak a text.

        Args:
            text: What to say, a sentence as a rule.
            context_id: The answer that the text belongs to. Its word times go on from sentence to sentence.

        Yields:
            Frames of PCM16 mono of up to 0.2 s. The words that begin in a frame are reported before the frame
            is yielded.
        """
        settings, rate = self._voice_settings, self.sample_rate
        await self.start_tts_usage_metrics(text)
        lease = self._voice_pool.lease()
        try:
            for clause in clauses(text):
                pcm, words = await lease.worker.call(
                    "speak", clause, settings.voice, settings.rate, settings.pitch, rate
                )
                start = self._spoken_s.get(context_id, 0.0)
                if start:  # between two sentences, not before the first
                    pause = int(PAUSE_S * rate)
                    pcm = bytes(2 * pause) + pcm
                    words = [(word, second + pause / rate) for word, second in words]
                self._spoken_s[context_id] = start + len(pcm) / 2 / rate
                step = int(CHUNK_S * rate) * 2
                for at in range(0, len(pcm), step):
                    ends = (at + step) / 2 / rate
                    begun = [(word, start + second) for word, second in words if second < ends]
                    words = words[len(begun) :]
                    if begun:
                        await self.add_word_timestamps(begun, context_id)
                    yield TTSAudioRawFrame(pcm[at : at + step], rate, 1, context_id=context_id)
                if words:  # begun where the audio ends: nothing more will carry them
                    await self.add_word_timestamps([(word, start + at) for word, at in words], context_id)
        except (WorkerLost, WorkerFailed, BlockingIOError) as error:
            yield ErrorFrame(error=f"espeak-ng did not speak: {error}", exception=error)
        finally:
            lease.release()

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Forget the word times of an answer that was interrupted."""
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forget the word times of an answer that is complete."""
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_completed(context_id)

    # mypy sees AIService's wider parameter; pipecat's own TTSService narrows it in the same way.
    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:  # type: ignore[override]
        _check(delta)
        return await super()._update_settings(delta)


def clauses(text: str) -> Iterator[str]:
    """Cut a text into pieces that are spoken one after the other. Joined, they are the text again, except for
    blanks.

    A sentence stays whole up to `CLAUSE` characters. A longer one is cut after punctuation, or between words
    if
    it has none.
    """
    piece = ""
    for part in re.findall(r"[^.!?;:,]*[.!?;:,]*\s*", text):
        if piece and len(piece) + len(part) > CLAUSE:
            yield from _cut(piece)
            piece = ""
        piece += part
    yield from _cut(piece)


def _cut(piece: str) -> Iterator[str]:
    piece = piece.strip()
    while len(piece) > 4 * CLAUSE:
        at = piece.rfind(" ", 1, 4 * CLAUSE)
        at = at if at > 0 else 4 * CLAUSE
        yield piece[:at]
        piece = piece[at:].strip()
    if piece:
        yield piece


def _check(settings: ServiceSettings) -> None:
    if not isinstance(settings, EspeakTTSSettings):
        return
    for name, low, high in (("rate", 80, 450), ("pitch", 0, 99)):
        value = getattr(settings, name)
        if is_given(value) and not (isinstance(value, int) and low <= value <= high):
            raise ValueError(f"espeak: {name} is {value!r}; it must be a whole number from {low} to {high}")
