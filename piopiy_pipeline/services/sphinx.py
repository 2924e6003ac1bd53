"""Speech to text without keys and without an account: pocketsphinx behind pipecat's `STTService`.

It hears what the author's phrases lead it to expect: they are its language model. The decoding is
done in worker processes that all calls of the process share (`sphinx_worker.py`), and only while the
VAD says that somebody speaks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.compat.pipecat import user_id
from piopiy_pipeline.services.workers import Lease, WorkerFailed, WorkerLost, WorkerPool, shared_pool

__all__ = ["SphinxSTTService", "sphinx_pool"]

PREROLL_S = 0.6
"""Seconds of audio before the VAD's start that belong to the utterance: a VAD is sure only after 0.1 to 0.3 s."""
PIECE_S = 0.1
"""Seconds of audio that go to the worker at a time."""
MAX_UTTERANCE_S = 60.0
"""A caller who does not stop is cut here, so that neither audio nor decoder grows without a limit."""
MAX_BEHIND_S = 30.0
"""Seconds of audio that may wait for a worker. If more waits, the utterance is given up with an error."""
DRAIN_S = 3.0
"""How many seconds the end of a call waits for the last transcript."""

_numbers = itertools.count(1)


def sphinx_pool() -> WorkerPool:
    """Return the pool of this process's recogniser processes: one for two processors, and four at most."""
    size = max(1, min(4, (os.cpu_count() or 2) // 2))
    return shared_pool("piopiy_pipeline.services.sphinx_worker", name="sphinx", size=size)


@dataclass(slots=True)
class _Piece:
    """A piece of an utterance on its way to the worker."""

    pcm: bytes
    last: bool = False
    follows_vad: bool = True  # False where MAX_UTTERANCE_S has cut
    lost: bool = False  # pieces before this one were dropped


class SphinxSTTService(STTService):
    """Transcribes with pocketsphinx and a language model that is made from phrases.

    The recogniser also understands other sentences of the same words, and a thousand common words. If a
    caller talks
    about something else, the transcript consists of those.

    It needs a VAD in front of it: an utterance is the audio between `VADUserStartedSpeakingFrame` and
    `VADUserStoppedSpeakingFrame`. It pushes `InterimTranscriptionFrame` while the caller speaks and one
    finalized
    `TranscriptionFrame` for each utterance, whose `result` is `{"confidence": share}`: the share of the
    speech that
    consists of words from the phrases. An utterance without words gives no frame; pipecat's turn strategies
    end such a
    turn with their own timeout.

    The audio is PCM16 mono at 8 kHz or more. Audio at 8 kHz, as telephones send it, is widened to the model's
    16 kHz.

    Args:
        phrases: Sentences as callers say them. Case, digits and punctuation do not matter. A sentence that is
            given
            twice weighs twice.
        sample_rate: The rate of the caller's audio in Hz. None: the pipeline's input rate.
        pool: The worker processes to use. None: those that all calls of this process share.
    """

    runs_locally = True
    """It asks no network provider, so a capture leaves it out and a replay runs it."""

    def __init__(
        self, phrases: Iterable[str] = (), *, sample_rate: int | None = None, pool: WorkerPool | None = None
    ) -> None:
        # The answer follows the VAD's stop within 0.05 s; 0.2 s of that stop are the VAD's own.
        super().__init__(
            sample_rate=sample_rate,
            ttfs_p99_latency=0.35,
            settings=STTSettings(model="en-us", language=Language.EN_US),
        )
        self._phrases = tuple(phrases)
        self._pool = pool or sphinx_pool()
        self._lease: Lease | None = None
        self._call_key = f"call-{next(_numbers)}"
        self._opened_in = 0  # the worker's generation that knows this call
        self._hearing = False
        self._heard = bytearray()  # while hearing: less than a piece; else: the pre-roll
        self._length = 0  # bytes of the utterance so far
        self._pieces: asyncio.Queue[_Piece | None] = asyncio.Queue()
        self._behind = 0  # bytes in that queue
        self._overrun = False  # this utterance was given up: its pieces are dropped
        self._said = ""  # of the utterance under way, as last sent
        self._begun_in = 0  # the worker's generation that has the beginning of the utterance
        self._skip = False  # the rest of an utterance that was given up
        self._decoding: asyncio.Task[None] | None = None

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time from the end of speech to the transcript."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Load the language model into a worker, so that the first utterance need not wait for it."""
        await super().start(frame)
        self._lease = self._pool.lease()
        try:
            await self._open()
        except (WorkerLost, WorkerFailed, BlockingIOError) as error:
            await self.push_error(f"the recogniser did not start: {error}", exception=error)
        self._decoding = self.create_task(self._decode())

    async def stop(self, frame: EndFrame) -> None:
        """Wait up to 3 s for the transcript of the utterance that is being decoded, then release the worker."""
        if self._decoding is not None:
            self._pieces.put_nowait(None)
            await asyncio.wait({self._decoding}, timeout=DRAIN_S)
        await super().stop(frame)
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """Release the worker at once. An utterance that is being decoded is lost."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """Release the worker, if neither `stop` nor `cancel` has done so."""
        await super().cleanup()
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin and end utterances as the VAD's frames say."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            if not self._hearing:
                self._hearing = True
                self._length = len(self._heard)
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and self._hearing:
            self._hearing = False
            self.request_finalize()
            self._send(last=True)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take a piece of the caller's audio. Transcripts are pushed later, by a task of its own.

        Args:
            audio: PCM16 mono at the pipeline's input rate.
        """
        self._heard += audio
        second = self.sample_rate * 2
        if not self._hearing:
            del self._heard[: -int(PREROLL_S * self.sample_rate) * 2]
        else:
            self._length += len(audio)
            if self._length > MAX_UTTERANCE_S * second:
                self._length = 0
                self._send(last=True, follows_vad=False)
            elif len(self._heard) >= PIECE_S * second:
                self._send(last=False)
        yield None

    def _send(self, *, last: bool, follows_vad: bool = True) -> None:
        pcm = bytes(self._heard)
        self._heard.clear()  # what was decoded must not be the next utterance's pre-roll
        if self._behind + len(pcm) > MAX_BEHIND_S * self.sample_rate * 2:
            self._overrun = True
        if last:
            piece = _Piece(b"" if self._overrun else pcm, True, follows_vad, self._overrun)
            self._overrun = False
        elif self._overrun:
            return
        else:
            piece = _Piece(pcm)
        self._behind += len(piece.pcm)
        self._pieces.put_nowait(piece)

    async def _decode(self) -> None:
        """Send the pieces to the worker, one request at a time, and its texts downstream."""
        while (piece := await self._take()) is not None:
            if self._skip:
                self._skip = not piece.last
                continue
            try:
                await self._decode_piece(piece)
            except (WorkerLost, WorkerFailed, BlockingIOError) as error:
                self._said, self._begun_in, self._skip = "", 0, not piece.last
                if self._lease is not None and not isinstance(error, WorkerLost):
                    self._lease.worker.post("abandon", self._call_key)
                await self.push_error(f"an utterance was lost: {error}", exception=error)

    async def _decode_piece(self, piece: _Piece) -> None:
        if piece.lost:
            raise WorkerFailed("the recogniser cannot keep up with its callers")
        await self._open()
        assert self._lease is not None
        worker = self._lease.worker
        if self._begun_in not in (0, worker.generation):
            raise WorkerLost("its worker was started anew in the middle of it")
        self._begun_in = 0 if piece.last else worker.generation
        if piece.last:
            self._said = ""
            text, confidence = await worker.call("end", self._call_key, piece.pcm)
            await self._final(text, confidence, piece)
            return
        text = await worker.call("feed", self._call_key, piece.pcm)
        if text and text != self._said:
            self._said = text
            await self._interim(text)

    async def _take(self) -> _Piece | None:
        """Return the next piece. If the worker is behind, it is all audio of the utterance that waits."""
        piece = await self._pieces.get()
        while piece is not None and not piece.last and not self._pieces.empty():
            more = self._pieces.get_nowait()
            if more is None:
                self._pieces.put_nowait(None)
                break
            piece = _Piece(piece.pcm + more.pcm, more.last, more.follows_vad, more.lost)
        if piece is not None:
            self._behind -= len(piece.pcm)
        return piece

    async def _open(self) -> None:
        """Make the call known to the worker: at the start, and again after the worker was lost."""
        assert self._lease is not None
        worker = self._lease.worker
        if self._opened_in and self._opened_in == worker.generation and worker.pid is not None:
            return
        guessed = await worker.call("open", self._call_key, self._phrases, self.sample_rate)
        if guessed and not self._opened_in:
            logger.warning("{}: pronunciations guessed from the spelling: {}", self, ", ".join(guessed))
        self._opened_in = worker.generation

    async def _close(self) -> None:
        task, self._decoding = self._decoding, None
        if task is not None:
            await self.cancel_task(task)
        lease, self._lease = self._lease, None
        if lease is not None:
            if self._opened_in == lease.worker.generation:
                lease.worker.post("close", self._call_key)
            lease.release()

    async def _interim(self, text: str) -> None:
        await self.push_frame(
            InterimTranscriptionFrame(text, user_id(self), time_now_iso8601(), Language.EN_US)
        )

    async def _final(self, text: str, confidence: float, piece: _Piece) -> None:
        if not text:
            return
        if piece.follows_vad:
            self.confirm_finalize()
        logger.debug("{}: {!r}, confidence {:.2f}", self, text, confidence)
        await self.push_frame(
            TranscriptionFrame(
                text,
                user_id(self),
                time_now_iso8601(),
                Language.EN_US,
                result={"confidence": round(confidence, 3)},
            )
        )
        await self.emit_stt_usage_metrics()
