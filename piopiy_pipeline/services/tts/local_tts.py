"""What the voices that speak in a worker process share: word times, pauses, and an error when the worker is lost.

The text-to-speech services here are pipecat's `TTSService`s that know when each word begins, so that after an
interruption the conversation holds what was heard.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.compat.waiting_sound import kept_open
from piopiy_pipeline.services.workers.worker_pool import Lease, WorkerPool
from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost

__all__ = ["LocalTTSService", "SpeechPiece"]

CHUNK_S = 0.2
"""Seconds of audio in one frame."""


@dataclass(frozen=True, slots=True)
class SpeechPiece:
    """Some speech, a clause or a part of one.

    Args:
        pcm: PCM16 mono at the service's sample rate.
        words: Each word that begins in it, with the second, counted from the beginning of `pcm`.
        pause_s: Seconds of silence between what was said before and this; not before the first of an answer.
    """

    pcm: bytes
    words: tuple[tuple[str, float], ...]
    pause_s: float = 0.0


class LocalTTSService(TTSService):
    """Speaks with a worker process, and reports the time of each word.

    If a worker is lost, the sentence is finished by another. If that one is lost too, or a worker refuses the text, it
    pushes an `ErrorFrame`, and tries again with the next sentence.

    Args:
        title: What errors call it.
        settings: The voice's settings.
        sample_rate: The rate of its audio in Hz. None: the pipeline's output rate.
        pool: The worker processes to use.
    """

    runs_locally = True
    """It asks no network provider, so a capture leaves it out and a replay runs it."""

    def __init__(
        self, title: str, *, settings: TTSSettings, sample_rate: int | None, pool: WorkerPool
    ) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,  # words come with their times
            sample_rate=sample_rate,
            settings=settings,
        )
        self._title = title
        self._voice_pool = pool
        self._spoken_s: dict[str, float] = {}  # audio so far, by context: its word times go on from there

    @abstractmethod
    def speak(self, text: str, lease: Lease, rate: int) -> AsyncGenerator[SpeechPiece]:
        """Make the speech of a text, piece by piece.

        Args:
            text: What to say, a sentence as a rule.
            lease: Has a process that is to compute, and the next one if that is lost.
            rate: The sample rate of the pieces in Hz.

        Raises:
            WorkerLost: The process died, and so did the next one.
            WorkerFailed: It refused.
            BlockingIOError: Too many requests wait already.
        """

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
        rate = self.sample_rate
        await self.start_tts_usage_metrics(text)
        lease = self._voice_pool.lease()
        pieces = self.speak(text, lease, rate)
        try:
            async for piece in pieces:
                pcm, words = piece.pcm, list(piece.words)
                start = self._spoken_s.get(context_id, 0.0)
                if start and piece.pause_s:
                    pause = int(piece.pause_s * rate)
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
            yield ErrorFrame(error=f"{self._title} did not speak: {error}", exception=error)
        finally:
            await pieces.aclose()
            lease.release()

    async def tts_process_generator(
        self, context_id: str, generator: AsyncGenerator[Frame | None, None]
    ) -> None:
        """Speak a text, and keep its answer open while a worker computes, or starts again: as long as it may take."""
        with kept_open(self, context_id):
            await super().tts_process_generator(context_id, generator)

    async def on_turn_context_completed(self) -> None:
        """End an answer whose last sentence failed as any other: pipecat would wait, and hold up the next one."""
        await super().on_turn_context_completed()
        for context_id in self.get_audio_contexts():
            await self.remove_audio_context(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Forget the word times of an answer that was interrupted."""
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forget the word times of an answer that is complete."""
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_completed(context_id)
