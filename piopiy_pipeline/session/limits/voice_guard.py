"""`VoiceGuard`: a voice waits when it is far ahead of what is heard, and one that does not end is cut off.

What a voice makes waits in pipecat's audio contexts until its turn comes. These have no bound, so the guard has the
voice wait where it appends to one: an HTTP stream is not read meanwhile, nor is a WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from piopiy_pipeline.compat.frame_taps import watch_processed, watch_pushes, watch_taken
from piopiy_pipeline.compat.pipecat import intercept_tts
from piopiy_pipeline.session.limits.joined_sound import join_sound
from piopiy_pipeline.session.limits.sound_pieces import piece_bytes, pieces_of
from piopiy_pipeline.session.limits.speech_budget import SpeechBudget
from piopiy_pipeline.session.limits.stage_flow import LoopShare
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.utterances import OF_UTTERANCE

__all__ = ["VoiceGuard"]

STOPS_S = 3.0
"""A voice that was cut off has to stop within so many seconds."""
AFTER_CUT_S = 120.0
"""And may make so much sound all the same: of a long answer that was under way."""

LOOK_S = 0.5
MARKS = 16
"""So many utterances are remembered: a voice makes one after the other."""


class VoiceGuard:
    """Guards one voice.

    Args:
        service: The voice, before it runs.
        limits: The limits of the call.
        share: That of the call.
        now: Returns the time of the loop's clock, in seconds.
        cut: Called with what was cut when an answer is too long, and the number of the utterance's mark if it is one
            that the bot was told to say. What was made of it is heard.
        failed: Called with what is wrong with a voice that makes sound without end. It is to be interrupted.
        goes_on: Called with what is wrong with a voice that goes on when it was cut off.
    """

    def __init__(
        self,
        service: TTSService,
        limits: StreamLimits,
        share: LoopShare,
        *,
        now: Callable[[], float],
        cut: Callable[[str, int | None], None],
        failed: Callable[[str], None],
        goes_on: Callable[[str], None],
    ) -> None:
        self._service = service
        self._limits = limits
        self._share = share
        self._now = now
        self._cut = cut
        self._failed = failed
        self._goes_on = goes_on
        self._budget = SpeechBudget(limits.answer_s)
        self._ahead: dict[str, float] = {}  # seconds in each audio context that were not pushed yet
        self._cut_at: dict[str, float] = {}  # contexts that take no more sound
        self._late_s = 0.0  # sound that has come for them since
        self._mark: int | None = None  # of the utterance that is being given to the voice
        self._marks: dict[str, int] = {}  # of each audio context that is an utterance
        self._heard = asyncio.Event()
        self._run_tts, self._append = intercept_tts(service, run_tts=self.run_tts, append=self.append)
        join_sound(service)
        watch_pushes(service, self._pushes, TTSAudioRawFrame)
        watch_processed(service, self._processed, InterruptionFrame)
        watch_taken(service, self._told_to_say, TTSSpeakFrame)
        watch_processed(service, self._was_given, TTSSpeakFrame)

    # ------------------------------------------------------------------ what the voice makes

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Do what the service's own method does, until its answer is cut."""
        self._budget.asked(context_id, len(text))
        if self._mark is not None:
            self._marks[context_id] = self._mark
            while len(self._marks) > MARKS:
                del self._marks[next(iter(self._marks))]
        frames = self._run_tts(text, context_id)
        try:
            async for frame in frames:
                if not isinstance(frame, TTSAudioRawFrame) or len(frame.audio) <= piece_bytes(frame):
                    yield frame
                elif self._runs_away(context_id, frame):
                    yield None  # what is said of the voice is said
                else:
                    for piece in pieces_of(frame):
                        yield piece
                        if context_id in self._cut_at:
                            break
                if context_id in self._cut_at:
                    break
                await self._let_others(1)
        finally:
            await frames.aclose()

    async def append(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        """Do what the service's own method does, if this sound is not too much, and wait if it is early."""
        if not isinstance(frame, TTSAudioRawFrame) or not context_id:
            await self._append(context_id, frame)
            return
        second = frame.sample_rate * frame.num_channels * 2
        left_s = self._budget.left_s(context_id)
        self._budget.made(context_id, len(frame.audio) / second)
        if context_id in self._cut_at:
            await self._too_late(len(frame.audio) / second, context_id)
            return
        fault = self._budget.runaway(context_id)
        too_long = self._budget.left_s(context_id) < 0
        if fault or too_long:
            self._cut_off(context_id)
        if fault:
            self._failed(fault)
            return
        most_bytes = None
        if too_long:
            most_bytes = int(left_s * frame.sample_rate) * frame.num_channels * 2
            self._cut(
                f"an answer of more than {self._limits.answer_s:g} s: it was cut", self._marks.get(context_id)
            )
        for piece in pieces_of(frame, most_bytes):
            await self._append_piece(context_id, piece, len(piece.audio) / second)
        if too_long and self._service.audio_context_available(context_id):
            try:
                await self._service.on_audio_context_interrupted(context_id)
            except Exception as error:  # noqa: BLE001  a provider's client; what it goes on to send is dropped
                logger.warning("{} cannot cancel an answer: {}", self._service, error)
            await self._service.remove_audio_context(context_id)

    def _runs_away(self, context_id: str, frame: TTSAudioRawFrame) -> bool:
        """Cut a voice off, if its text cannot take the sound of this frame: none of it is heard then."""
        fault = self._budget.runaway(context_id, more_s=_seconds(frame))
        if fault and context_id not in self._cut_at:
            self._cut_off(context_id)
            self._failed(fault)
        return fault is not None

    async def _append_piece(self, context_id: str, frame: TTSAudioRawFrame, seconds: float) -> None:
        self._ahead[context_id] = self._ahead.get(context_id, 0.0) + seconds
        await self._append(context_id, frame)
        await self._let_others(1 + int(seconds * 25))
        while self._is_early(context_id):
            self._heard.clear()
            try:
                async with asyncio.timeout(LOOK_S):  # a context may end by itself
                    await self._heard.wait()
            except TimeoutError:
                pass

    def _is_early(self, context_id: str) -> bool:
        if sum(self._ahead.values()) <= self._limits.ahead_s:
            return False
        for each in [each for each in self._ahead if not self._service.audio_context_available(each)]:
            del self._ahead[each]
        return context_id in self._ahead and sum(self._ahead.values()) > self._limits.ahead_s

    async def _let_others(self, cost: int) -> None:
        self._share.left -= cost
        if self._share.spent():
            await asyncio.sleep(0)

    # ------------------------------------------------------------------ what becomes of it

    def _pushes(self, service: TTSService, frame: TTSAudioRawFrame) -> None:
        if frame.context_id in self._ahead:
            left_s = self._ahead[frame.context_id] - _seconds(frame)
            if left_s > 0:
                self._ahead[frame.context_id] = left_s
            else:
                del self._ahead[frame.context_id]
            self._heard.set()

    def _told_to_say(self, service: TTSService, frame: TTSSpeakFrame) -> None:
        self._mark = frame.metadata.get(OF_UTTERANCE)

    def _was_given(self, service: TTSService, frame: TTSSpeakFrame) -> None:
        self._mark = None

    def _processed(self, service: TTSService, frame: InterruptionFrame) -> None:
        self._heard.set()

    def _cut_off(self, context_id: str) -> None:
        if not self._cut_at:
            self._late_s = 0.0
        self._cut_at[context_id] = self._now()
        while len(self._cut_at) > 8:
            del self._cut_at[next(iter(self._cut_at))]

    async def _too_late(self, seconds: float, context_id: str) -> None:
        self._late_s += seconds
        if self._late_s > AFTER_CUT_S and self._now() - self._cut_at[context_id] > STOPS_S:
            self._goes_on("it goes on making sound although it was cut off")
        await self._let_others(1 + int(seconds * 25))

    def close(self) -> None:
        """Let nothing wait any more, because the call is over."""
        self._ahead.clear()
        self._heard.set()


def _seconds(frame: TTSAudioRawFrame) -> float:
    return len(frame.audio) / (2 * frame.sample_rate * frame.num_channels)
