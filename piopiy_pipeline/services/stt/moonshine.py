"""Speech to text without keys and without an account: moonshine's model behind pipecat's `STTService`.

It hears any sentence. The model runs in worker processes that all calls of the process share
(`moonshine_worker.py`). While the caller speaks, the words so far are asked for whenever a worker is idle; at a
pause, all of them, so that they are there when the VAD is sure that the caller has stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.compat.pipecat import user_id
from piopiy_pipeline.processors.caller_pause import CallerPausedFrame
from piopiy_pipeline.services.stt.hot_words import HotWords
from piopiy_pipeline.services.stt.moonshine_files import common_words, find_speech_model, language_code
from piopiy_pipeline.services.stt.speech_buffer import SpeechBuffer
from piopiy_pipeline.services.stt.speech_lead import LEAD_PAUSE_S, SpeechLead
from piopiy_pipeline.services.stt.withdrawn_interim import WithdrawnInterimFrame
from piopiy_pipeline.services.workers.worker_pool import WorkerPool, shared_pool
from piopiy_pipeline.services.workers.worker_processes import Worker, WorkerFailed, WorkerLost
from piopiy_pipeline.services.workers.worker_queue import Urgency, WorkerQueue, queue_of

__all__ = ["MoonshineSTTService", "load_ears", "moonshine_pool"]

MAX_UTTERANCE_S = 60.0
"""A caller who does not stop is cut here, so that the audio does not grow without a limit."""
MAX_BEHIND_S = 120.0
"""Seconds of audio whose final transcripts may be awaited. If more waits, an utterance is given up."""
LATE_S = 0.15
"""The VAD's stop may come this much later than its own delay after the pause that it follows."""
DOUBTED = 0.25
"""A word of less confidence (0 to 1) is doubted."""
UNSURE = 0.6
"""So is one of less than this beside a word that is hardly credible: misheard words come in company, and right ones of
a clean line may have little confidence alone."""
HARDLY = 0.3
"""A word of less confidence is hardly credible."""
MAX_FINALS = 64
"""As many utterances are remembered with their unsure words."""
LOAD_S = 5.0
"""How many seconds the beginning of a call waits for the model. A gateway waits ten for all of the agent."""
LAST_S = 3.0
"""How many seconds the end of a call waits for the last transcript."""

_Failures = (WorkerLost, WorkerFailed, BlockingIOError)


def moonshine_pool() -> WorkerPool:
    """Return the pool of this process's hearing processes: one for two processors, and four at most."""
    size = max(1, min(4, (os.cpu_count() or 2) // 2))
    return shared_pool("piopiy_pipeline.services.stt.moonshine_worker", name="moonshine", size=size)


def load_ears(worker: Worker, language: str) -> asyncio.Future[Any]:
    """Have a process load the model of a language, and another one in its place as soon as it dies.

    Args:
        worker: One of a pool's.
        language: The code of the language.

    Raises:
        BlockingIOError: Too many requests wait already.
    """
    worker.first = ("load", language)  # after a death
    answer = worker.submit("load", language)
    answer.add_done_callback(_note)
    return answer


@dataclass(slots=True, frozen=True)
class _Utterance:
    """An utterance whose words are being waited for."""

    parts: Sequence[asyncio.Future[Any]]
    seconds: float
    had_interim: bool
    follows_vad: bool  # False where MAX_UTTERANCE_S has cut


class MoonshineSTTService(STTService):
    """Transcribes what the caller says, in any words.

    It needs a VAD in front of it: an utterance is the audio between `VADUserStartedSpeakingFrame` and
    `VADUserStoppedSpeakingFrame`. With `VadStage`, which says when the caller pauses, the final transcript is there
    when speech has stopped; with another VAD it comes some hundredths of a second later. It pushes
    `InterimTranscriptionFrame` while the caller speaks and one finalized `TranscriptionFrame` for each
    utterance. A noise gives no frame; pipecat's turn strategies end such a turn with their own timeout.

    The `result` of a final is a dict: `confidence` is that of the least sure word, from 0 to 1; `words` has each
    word with its own, which tells right words from wrong ones (`benchmarks/ears.py`: area under the curve 0.91);
    `repaired` has a pair of each hot word that was put in: what was heard, and the hot word; and `comma` says that the
    model took the sentence for unfinished.

    Args:
        language: The code of the language that is spoken, with a region ("en-GB") or without. "en" comes with the
            package; others must be fetched before, with the package's own command, and have a licence of their own.
        hot_words: Names and other words that callers are likely to say. What sounds nearly like one of them
            becomes that one.
        sample_rate: The rate of the caller's audio in Hz. None: the pipeline's input rate.
        pool: The worker processes to use. None: those that all calls of this process share.

    Raises:
        SpeechModelMissing: There is no model of this language here. The message says how to fetch it.
    """

    runs_locally = True
    """It asks no network provider, so a capture leaves it out and a replay runs it."""

    def __init__(
        self,
        *,
        language: str = "en",
        hot_words: Iterable[str] = (),
        sample_rate: int | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        model = find_speech_model(language)
        # The answer follows the VAD's stop within 0.1 s; 0.2 s before it are the VAD's own.
        super().__init__(
            sample_rate=sample_rate,
            ttfs_p99_latency=0.35,
            settings=STTSettings(model=model.name, language=_spoken(language)),
        )
        self._language = language_code(language)
        self._spoken = _spoken(language)
        hot_words = tuple(hot_words)
        self._hot_words = HotWords(hot_words, common=common_words(language) if hot_words else ())
        self._pool = pool or moonshine_pool()
        self._queue: WorkerQueue | None = None
        self._speech = SpeechBuffer(16_000)
        self._heads: list[asyncio.Future[Any]] = []  # of this utterance: what was cut off
        self._ahead: asyncio.Future[Any] | None = None  # the final, asked for at a pause
        self._pause_unasked = False  # its last samples are still to come
        self._lead: SpeechLead | None = None  # what the utterance under way may continue
        self._partial: asyncio.Task[None] | None = None
        self._finals: deque[tuple[str, tuple[str, ...]]] = deque(maxlen=MAX_FINALS)
        self._said = ""  # of the utterance under way, as last sent
        self._utterances: asyncio.Queue[_Utterance | None] = asyncio.Queue()
        self._behind_s = 0.0  # of the audio in that queue
        self._delivery: asyncio.Task[None] | None = None

    @property
    def final_under_way(self) -> bool:
        """Whether the words of speech that has ended are being made out."""
        return self._behind_s > 0.01

    def unsure_words(self, text: str) -> set[str]:
        """Return the words of a turn that were heard with little confidence.

        Args:
            text: What the caller said: one final transcript, or several joined.
        """
        return {word for final, words in self._finals if final in text for word in words}

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time from the end of speech to the transcript."""
        return True

    # pipecat's own FrameProcessor.setup differs from its base class in just this way.
    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        await super().setup(setup)
        self._speech = SpeechBuffer(self.sample_rate)

    async def start(self, frame: StartFrame) -> None:
        """Have the workers load the model, and wait for the first, so that the first utterance need not wait for it."""
        await super().start(frame)
        self._queue = queue_of(self._pool)
        until = asyncio.get_running_loop().time() + LOAD_S
        try:
            try:
                await self._load(until)
            except WorkerLost as error:
                logger.debug("{}: the model is loaded once more", error)
                await self._load(until)
        except _Failures as error:
            await self.push_error(f"the recogniser did not start: {error}", exception=error)
        self._delivery = self.create_task(self._deliver(), "finals")

    async def _load(self, until: float) -> None:
        """Wait until a worker has the model; only if none gets it, raise why. Later, it is an utterance that waits."""
        loading = {load_ears(worker, self._language) for worker in self._pool.workers}
        failure: BaseException | None = None
        while loading:
            left = max(0.0, until - asyncio.get_running_loop().time())
            done, loading = await asyncio.wait(loading, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            failures = [answer.exception() for answer in done if not answer.cancelled()]
            if not done or None in failures:
                return
            failure = failures[0] if failures else failure
        if failure is not None:
            raise failure

    async def stop(self, frame: EndFrame) -> None:
        """Wait up to 3 s for the transcripts that are under way."""
        if self._delivery is not None:
            self._utterances.put_nowait(None)
            await asyncio.wait({self._delivery}, timeout=LAST_S)
        await super().stop(frame)
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """End at once. Utterances that are being heard are lost."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """End, if neither `stop` nor `cancel` has done so."""
        await super().cleanup()
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin and end utterances as the VAD's frames say."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            if not self._speech.hearing:
                self._begin()
                self._wake_workers()
        elif isinstance(frame, CallerPausedFrame):
            if self._speech.hearing:
                self._drop_ahead()
                self._speech.paused(frame.began_ago_s, frame.ago_s)
                self._ask_ahead()
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and self._speech.hearing:
            self.request_finalize()
            await self._finish(stop_s=frame.stop_secs)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take a piece of the caller's audio. Transcripts are pushed later, by a task of its own.

        Args:
            audio: PCM16 mono at the pipeline's input rate.
        """
        self._speech.add(audio)
        if self._speech.hearing:
            if self._pause_unasked:
                self._ask_ahead()
            if self._speech.seconds >= MAX_UTTERANCE_S:
                await self._finish(stop_s=None)
                self._begin()
            elif head := self._speech.cut():
                self._heads.append(self._ask(Urgency.AHEAD, head, b"", ()))
            elif self._may_ask_partial() and self._speech.partial_due():
                self._show(self._ask(Urgency.PARTIAL, self._speech.audio, b"", (), 1))
        yield None

    # -- asking

    def _ask(self, urgency: Urgency, pcm: bytes, *more: Any) -> asyncio.Future[Any]:
        assert self._queue is not None
        try:
            answer = self._queue.ask(urgency, "hear", pcm, self.sample_rate, self._language, *more)
        except BlockingIOError as error:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(error)
        answer.add_done_callback(_note)
        return answer

    def _ask_final(self, urgency: Urgency, pcm: bytes) -> asyncio.Future[Any]:
        """Ask for the words of the utterance, as soon as those that it may continue are known."""
        lead = self._lead
        if lead is None:
            return self._ask(urgency, pcm, b"", ())
        answer = lead.then(lambda: self._ask(urgency, pcm, *lead.heard))
        answer.add_done_callback(_note)
        return answer

    def _wake_workers(self) -> None:
        """Start what has died before it had loaded its model, ahead of the first question."""
        for worker in self._pool.workers:
            if worker.pid is None:
                load_ears(worker, self._language)

    def _may_ask_partial(self) -> bool:
        return self._partial is None and self._queue is not None and self._queue.idle

    def _begin(self) -> None:
        self._speech.begin()
        if self._speech.silence_s > LEAD_PAUSE_S:
            self._lead = None

    def _ask_ahead(self) -> None:
        """Ask for the final at the pause, if all that was said until then has come."""
        said = self._speech.until_pause
        self._pause_unasked = said is None
        if said is not None and (self._lead is None or self._lead.is_known):
            self._ahead = self._ask_final(Urgency.AHEAD, said)
            self._speech.asked()

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()

    async def _finish(self, *, stop_s: float | None) -> None:
        """End the utterance. `stop_s` is how long the VAD has waited, or None if it has not stopped."""
        seconds = self._speech.seconds
        # The same samples are heard, whether they were asked for at the pause or are asked for now.
        paused = stop_s is not None and self._speech.since_pause_s <= stop_s + LATE_S
        if not paused:
            self._drop_ahead()
        self._pause_unasked = False
        audio, heads, self._heads = self._speech.end(at_pause=paused), self._heads, []
        had_interim, self._said = bool(self._said), ""
        if self._partial is not None:
            await self.cancel_task(self._partial)
            self._partial = None
        if self._behind_s + seconds > MAX_BEHIND_S and self._behind_s:
            self._drop_ahead()
            self._lead = None
            for head in heads:
                head.cancel()
            await self.push_error("an utterance was lost: the recogniser cannot keep up with its callers")
            return
        last, self._ahead = self._ahead, None
        if last is None:
            last = self._ask_final(Urgency.FINAL, audio)
        else:
            assert self._queue is not None
            self._queue.hurry(last)
        # Neither what was cut for its length nor the rest of it is heard again.
        self._lead = (
            None if heads or stop_s is None else SpeechLead(audio, self.sample_rate, last, self._lead)
        )
        self._behind_s += seconds
        self._utterances.put_nowait(_Utterance((*heads, last), seconds, had_interim, stop_s is not None))

    # -- answers

    def _show(self, answer: asyncio.Future[Any]) -> None:
        self._partial = self.create_task(self._interim(answer), "partial")

    async def _interim(self, answer: asyncio.Future[Any]) -> None:
        """Push the words so far."""
        try:
            parts = [await head for head in self._heads] + [await answer]
        except _Failures as error:
            logger.debug("{}: no partial result: {}", self, error)
            return
        finally:
            self._partial = None
        words, _ = self._hot_words.repair([word for part in parts for word in part.words])
        text = " ".join(word for word, _ in words)
        if text and text != self._said and self._speech.hearing:
            self._said = text
            await self.push_frame(
                InterimTranscriptionFrame(text, user_id(self), time_now_iso8601(), self._spoken)
            )

    async def _deliver(self) -> None:
        """Push the final transcripts, in the order in which they were spoken."""
        while (utterance := await self._utterances.get()) is not None:
            try:
                parts = [await part for part in utterance.parts]
            except _Failures as error:
                await self.push_error(f"an utterance was lost: {error}", exception=error)
            else:
                await self._final(parts, utterance)
            finally:
                self._behind_s -= utterance.seconds

    async def _final(self, parts: Sequence[Any], utterance: _Utterance) -> None:
        words = [word for part in parts for word in part.words]
        if not words:
            logger.debug("{}: a noise of {:.1f} s", self, utterance.seconds)
            if utterance.had_interim:
                await self.push_frame(WithdrawnInterimFrame())
            return
        comma = words[-1][0].endswith(",")  # the model's way to end a sentence that may go on
        if comma:
            words[-1] = (words[-1][0][:-1] + ".", words[-1][1])
        words, repaired = self._hot_words.repair(words)
        text = " ".join(word for word, _ in words)
        confidence = round(min(sure for _, sure in words), 3)
        if utterance.follows_vad:
            self.confirm_finalize()
        logger.debug("{}: {!r}, confidence {:.2f}", self, text, confidence)
        self._finals.append((text, tuple(_doubted(words))))
        for heard, hot_word in repaired:
            logger.debug("{}: {!r} was taken for {!r}", self, heard, hot_word)
        await self.push_frame(
            TranscriptionFrame(
                text,
                user_id(self),
                time_now_iso8601(),
                self._spoken,
                result={
                    "confidence": confidence,
                    "words": words,
                    "repaired": repaired,
                    "comma": comma,
                },
            )
        )
        await self.emit_stt_usage_metrics()

    async def _close(self) -> None:
        self._drop_ahead()
        for head in self._heads:
            head.cancel()
        self._heads = []
        for task in (self._partial, self._delivery):
            if task is not None:
                await self.cancel_task(task)
        self._partial = self._delivery = None


def _spoken(language: str) -> Language:
    """Return what transcripts say of their language, however its code is written."""
    code = language.replace("_", "-").lower()
    return next((each for each in Language if each.lower() == code), None) or Language(
        language_code(language)
    )


def _doubted(words: Sequence[tuple[str, float]]) -> Iterator[str]:
    """Yield the words that may have been misheard."""
    hardly = sum(sure < HARDLY for _, sure in words)
    for word, sure in words:
        others = hardly - (sure < HARDLY)
        if sure < DOUBTED or (sure < UNSURE and others):
            yield word


def _note(answer: asyncio.Future[Any]) -> None:
    """Take an error that nobody may be waiting for any more."""
    if not answer.cancelled() and (error := answer.exception()):
        logger.debug("moonshine: {}", error)
