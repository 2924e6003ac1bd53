"""An STT for tests that knows what the caller says: an `STTService` of pipecat's.

It transcribes only what came through the VAD. So a VAD that misses speech, starts on noise or ends too early shows
in the conversation, as it would with a provider on the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from itertools import tee
from random import Random
from typing import Any, cast

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
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.arguments import check_kind, check_seconds
from piopiy_pipeline.compat.pipecat import constructor_options, user_id
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.scripted.faults import Fault, FaultPlan, Garbage, Stalls
from piopiy_pipeline.testing.scripted.latency_profiles import Latency, as_profile
from piopiy_pipeline.testing.scripted.stand_in import StandIn

__all__ = ["ScriptedSTT", "Transcripts"]

PREROLL_S = 0.6
"""Words from before the VAD's start that belong to the utterance: it is sure only after 0.1 to 0.3 s."""
NONSENSE = "zxq wfp qgl"
MAX_WAITING = 32
"""Utterances whose transcripts are under way; one more than these is lost, with an error."""


@dataclass(frozen=True, kw_only=True)
class Transcripts:
    """How the caller is transcribed. A value: it serves any number of calls.

    Attributes:
        latency: Seconds from the end of the caller's speech to the final transcript, as pipecat's metrics count
            for an STT. A transcript never comes before the VAD's stop.
        interim_s: While the caller speaks, the words so far come as an interim this often, in seconds; None:
            never.
        finalizes: Whether the transcript is marked as the last of its utterance, so that a turn strategy need
            not wait for more.
        faults: What goes wrong, by the number of the utterance, from 1; a fault of 0 never comes. An utterance
            without words does not count.
        texts: What is heard of each utterance in order, whatever the caller says, and then nothing more;
            without interims. A generator is read as far as a call needs it, and each call begins with its first
            text. None: what the caller says, word for word.

    Raises:
        TypeError: Something is no latency, no fault or no list of texts.
        ValueError: `interim_s` is too short.
    """

    latency: Latency = 0.0
    interim_s: float | None = 0.5
    finalizes: bool = True
    faults: Mapping[int, Fault] = field(default_factory=dict)
    texts: Iterable[str] | None = None

    def __post_init__(self) -> None:
        as_profile(self.latency)
        FaultPlan(self.faults)
        if self.texts is not None:
            check_kind(
                "Transcripts: texts", self.texts, Iterable, "a list of texts, one an utterance, or None"
            )
            if isinstance(self.texts, str | bytes):
                raise TypeError("Transcripts: texts is a list of texts, one an utterance, not one text")
            if isinstance(self.texts, Iterator):
                object.__setattr__(self, "texts", _EachFromTheFirst(self.texts))
        check_seconds("Transcripts: interim_s", self.interim_s, or_none="never", least_s=0.02)


class _EachFromTheFirst:
    """The texts of an iterator, from the first one on for each call, though it can be read once only."""

    def __init__(self, texts: Iterator[str]) -> None:
        (self._first,) = tee(texts, 1)  # keeps what was read, and is never read itself

    def __iter__(self) -> Iterator[str]:
        return copy(self._first)


@dataclass(frozen=True, slots=True)
class _HeardUtterance:
    text: str
    spoke_until: float
    fault: Fault | None
    latency: float


def _nothing(start: float, end: float) -> str:
    return ""


class ScriptedSTT(StandIn, STTService):
    """An STT for tests. Needs a VAD in front of it.

    Args:
        script: How the caller is transcribed.
        spoken: Tells the words that the caller has said. Not needed if the script has texts.
        random: Decides on the latencies.
        plan: The faults; by default those of the script.
        original: The service that this one stands for.
        texts: What is left of the script's texts, shared by all of the call that replace one another; None: all.

    Raises:
        StageError: `original` decides by itself when a turn ends.
        TypeError: There are neither texts nor `spoken`.
    """

    def __init__(
        self,
        script: Transcripts | None = None,
        *,
        spoken: Spoken | None = None,
        random: Random | None = None,
        plan: FaultPlan | None = None,
        original: STTService | None = None,
        texts: Iterator[str] | None = None,
    ) -> None:
        if original is None:
            super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=0.0)
        else:
            super().__init__(**constructor_options(original))
        if original is not None:
            if original.service_metadata_frame().user_turn_strategies is not None:
                raise StageError(
                    f"{original} decides itself when the caller's turn ends, which a scripted STT does not: "
                    "leave its turn detection off in this test, or keep it (Providers(stt=None))"
                )
            self.stand_for(original)
        self._script = script = script or Transcripts()
        self._texts = iter(script.texts) if texts is None and script.texts is not None else texts
        if spoken is None and self._texts is None:
            raise TypeError("ScriptedSTT: give Transcripts(texts=...), or spoken=, which tells the words")
        self._spoken = spoken or _nothing
        self._plan = plan or FaultPlan(script.faults)
        self._latency = as_profile(script.latency).sampler(random or Random(0))
        self._begun: float | None = None  # where the utterance under way begins, in the loop's seconds
        self._taken = 0.0  # words up to here were transcribed
        self._waiting: asyncio.Queue[_HeardUtterance] = asyncio.Queue(MAX_WAITING)
        self._listening: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time from the end of speech to the transcript."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take audio. What it says is known already."""
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Follow the VAD's frames, and pass every frame on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self._begin(frame.start_secs)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._end(frame.stop_secs)

    # ------------------------------------------------------------------ an utterance

    def _now(self) -> float:
        return self.get_event_loop().time()

    async def _begin(self, start_s: float) -> None:
        if self._begun is not None:
            return
        self._begun = max(self._taken, self._now() - start_s - PREROLL_S)
        if self._script.interim_s is not None and self._texts is None:
            self._listening = self.create_task(
                self._tell_interims(self._begun, self._script.interim_s), "interim"
            )

    async def _end(self, stop_s: float) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            return
        await self._stop_listening()
        now = self._now()
        text = self._spoken(begun, now) if self._texts is None else next(self._texts, "")
        self._taken = now
        if not text:
            return
        self._plan.turn += 1
        utterance = _HeardUtterance(text, now - stop_s, self._plan.next(), self._latency(self._plan.turn))
        if self._script.finalizes:
            self.request_finalize()
        if self._waiting.full():
            await self.push_error(f"{self} is {MAX_WAITING} utterances behind: {text!r} is lost")
        else:
            self._waiting.put_nowait(utterance)

    async def _tell_interims(self, begun: float, every_s: float) -> None:
        said = ""
        while True:
            await asyncio.sleep(every_s)
            text = self._spoken(begun, self._now())
            if text and text != said and not self.is_muted:
                said = text
                await self.push_frame(
                    InterimTranscriptionFrame(text, user_id(self), time_now_iso8601(), self._language())
                )

    async def _answer(self) -> None:
        while True:
            await self._transcribe(await self._waiting.get())

    async def _transcribe(self, utterance: _HeardUtterance) -> None:
        fault, text = utterance.fault, utterance.text
        due = utterance.spoke_until + utterance.latency + (fault.delay_s if fault else 0.0)
        if (wait := due - self._now()) > 0:
            await asyncio.sleep(wait)
        if fault is not None:
            words = text.split()
            text = " ".join(words[: round(fault.share * len(words))])
            if isinstance(fault, Garbage):
                text = f"{text} {NONSENSE}".strip()
            elif fault.error is not None:
                await self._final(text, last=False)
                await self.push_error(f"scripted STT: {fault.error}", exception=fault.error)
                return
        await self._final(text, last=not isinstance(fault, Stalls))

    async def _final(self, text: str, *, last: bool) -> None:
        if not text or self.is_muted:
            return
        if last:
            self.confirm_finalize()
        await self.push_frame(TranscriptionFrame(text, user_id(self), time_now_iso8601(), self._language()))
        await self.emit_stt_usage_metrics()

    def _language(self) -> Any:
        return cast(STTSettings, self.settings).language or None

    # ------------------------------------------------------------------ its life

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        self._taken = self._now()
        if self._answering is None:
            self._answering = self.create_task(self._answer(), "transcripts")

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._halt()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._halt()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._halt()

    async def _stop_listening(self) -> None:
        task, self._listening = self._listening, None
        if task is not None:
            await self.cancel_task(task)

    async def _halt(self) -> None:
        await self._stop_listening()
        task, self._answering = self._answering, None
        if task is not None:
            await self.cancel_task(task)
