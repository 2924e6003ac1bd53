"""The stage that speaks: sends speech ahead of time, and lets go of what follows it when it was heard.

Everything between the audio (words, the end of a response, a mark) waits in the ledger until the
gateway's playout clock has passed it. An interruption sends `clear` and is held for the answer, so
that what goes down the pipeline to the context is what the caller heard, and then the interruption.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    BotSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    OutputTransportReadyFrame,
    StartFrame,
    StopFrame,
    SystemFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.compat.pipecat import process_as_plain_stage
from piopiy_pipeline.signaling.messages import Clear, Cleared, DataMessage, Dtmf, Played, dump
from piopiy_pipeline.token_bucket import TokenBucket
from piopiy_pipeline.transports.frames import HeardTextFrame, SpeechMarkFrame
from piopiy_pipeline.transports.ledger import Cut, SpeechLedger
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.word_clock import WordClock
from piopiy_pipeline.transports.words import SpokenSentence

__all__ = ["BotOutput", "SpeechMonitor"]

DOWN = FrameDirection.DOWNSTREAM

MESSAGES_PER_S = 40
"""Messages to the client's application in the long run, twice as many at once: fewer than the gateway takes."""
HOLD_S = 0.1
"""An interruption waits this long for the playout clock's answer, and then goes by this side's estimate."""
QUIET_S = 0.35
"""A bot that has nothing left to play, and did not say that its speech ended, has stopped after this."""
SPEAKING_EVERY_S = 1.0
"""How often `BotSpeakingFrame` tells that the bot still speaks."""
ROOM_S = 30
"""Speech that waits to be sent; whoever makes more of it has to wait."""
MAX_EVENT_BYTES = 64 * 1024
"""What the gateway takes in one event."""
MAX_KEYS = 64
"""What one event holds."""
END_SLACK_S = 1.5
"""How much longer than its length the last speech may take until the end goes on without it."""


class SpeechMonitor(Protocol):
    """Who watches the output, by plain function calls: the call's session."""

    def frame_arrived(self, frame: Frame) -> None:
        """A frame other than audio has come down the pipeline, before it waits for anything."""

    def audio_arrived(self) -> None:
        """The bot has something to say."""

    def speech_progressed(self, speaking: bool) -> None:
        """The playout clock has reported; `speaking` tells whether it has more to play."""

    def mark_heard(self, number: int) -> None:
        """Everything before this `SpeechMarkFrame` was heard."""

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None:
        """Text has come to its place in the speech.

        A `TTSTextFrame` was heard, word or sentence; another `AggregatedTextFrame` begins now; a
        progress frame says how far a sentence with word times has come.
        """

    def bot_spoke(self, speaks: bool) -> None:
        """The bot has begun to speak, or has stopped."""

    def sentence_progressed(self, text: str) -> None:
        """So much was heard of a sentence whose words have no times, by an estimate."""

    def frames_dropped(self, frames: list[Frame]) -> None:
        """An interruption came before these were heard."""


class BotOutput(BaseOutputTransport):
    """PCM16 mono at the link's `bot_rate`; other rates and stereo are converted."""

    def __init__(
        self, params: TransportParams, link: MediaLink, monitor: SpeechMonitor, *, lead_ms: int = 5000
    ) -> None:
        super().__init__(params, enable_direct_mode=True, name="transport_out")
        self._link = link
        self._monitor = monitor
        self._ledger: SpeechLedger[Frame] = SpeechLedger(link.bot_rate, lead_ms=lead_ms)
        self._words = WordClock(link.bot_rate)
        self._sentences: deque[SpokenSentence] = deque()
        self._off_the_record: set[str | None] = set()  # contexts whose words the model is not to know
        self._resamplers: dict[int, Resampler] = {}
        self._half = b""  # of a sample that a frame has cut in two
        self._half_of: str | None = None  # the context that it belongs to
        self._due: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._due_task: asyncio.Task[None] | None = None
        self._messages = TokenBucket(MESSAGES_PER_S, 0.0)
        self._held: InterruptionFrame | None = None
        self._held_back: deque[Frame] = deque()
        self._hold_timer: asyncio.TimerHandle | None = None
        self._estimate_at_hold = 0
        self._cut: Cut[Frame] | None = None
        self._playing = False
        self._speaking = False
        self._spoke_at = 0.0
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._settled: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------ told by the link

    def on_played(self, report: Played) -> None:
        """The playout clock has reached a position."""
        now = self._now()
        messages, due = self._ledger.played(report.epoch, report.position, report.dry, now)
        self._send(messages)
        if report.epoch != self._ledger.epoch:
            return
        self._due.extend(due)
        self._playing = not report.dry
        self._monitor.speech_progressed(self._playing)
        self._tell_sentence()
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
            self._quiet_timer = None
        if report.dry and self._speaking:
            self._quiet_timer = self.get_event_loop().call_later(QUIET_S, self._wake.set)
        self._wake.set()

    def _tell_sentence(self) -> None:
        """How far the sentence that is being heard was heard; those with word times tell each word."""
        if not self._sentences:
            return
        sentence = self._sentences[0]
        identity = sentence.identity
        if isinstance(identity, AggregatedTextFrame) and identity.context_id not in self._off_the_record:
            self._monitor.sentence_progressed(sentence.heard(self._ledger.heard, self._ledger.queued))

    def on_cleared(self, answer: Cleared) -> None:
        """The playout clock has emptied itself."""
        if self._held is not None and self._cut is None and answer.epoch == self._ledger.epoch:
            self._end_hold(answer.position)

    def _clear_unanswered(self) -> None:
        if self._held is not None and self._cut is None:
            logger.warning("no answer to a clear in {} ms: going by an estimate", int(HOLD_S * 1000))
            self._end_hold(self._estimate_at_hold)

    def _end_hold(self, position: int) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
        queued = self._ledger.queued
        cut = self._cut = self._ledger.cut(position, self._now())
        self._due.extend(cut.due)
        for sentence in self._sentences:
            heard = sentence.heard(cut.position, queued)
            if heard and isinstance(sentence.identity, AggregatedTextFrame):
                known = sentence.identity.context_id not in self._off_the_record
                self._due.append(_heard_part(sentence.identity, heard, into_context=known))
        self._sentences.clear()
        self._playing = False
        self._monitor.speech_progressed(False)  # a clock that was cleared does not report that it ran dry
        self._wake.set()

    # ------------------------------------------------------------------ the stage

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        if self._due_task is None:
            self._due_task = self.create_task(self._push_due(), "transport_out::due")
        await self.set_transport_ready(frame)

    async def set_transport_ready(self, frame: StartFrame) -> None:
        """Say so. The base class's senders, a queue and two tasks each, are not needed."""
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is not DOWN:
            await super().process_frame(frame, direction)
            return
        if not isinstance(frame, OutputAudioRawFrame):
            self._monitor.frame_arrived(frame)
        if isinstance(frame, InterruptionFrame):
            await process_as_plain_stage(self, frame, direction)
            await self._in_turn(frame)
        elif isinstance(frame, (SystemFrame, EndFrame, StopFrame)):
            await super().process_frame(frame, direction)
        else:
            await process_as_plain_stage(self, frame, direction)
            await self._in_turn(frame)

    async def _in_turn(self, frame: Frame) -> None:
        """What comes behind a held interruption waits for it."""
        if self._held is not None or self._held_back:
            self._held_back.append(frame)
        else:
            await self._handle(frame)

    async def _handle(self, frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            await self._interrupt(frame)
        elif isinstance(frame, OutputAudioRawFrame):
            await self._say(frame)
        else:
            await self._queue_item(frame)

    async def _say(self, frame: OutputAudioRawFrame) -> None:
        await self._room.wait()
        ledger = self._ledger
        if isinstance(frame, TTSAudioRawFrame):
            self._words.audio(frame.context_id, ledger.queued, self.get_clock().get_time())
        self._monitor.audio_arrived()
        pcm = self._at_link_rate(frame)
        if not pcm:
            return
        self._send(ledger.audio(pcm, self._now(), interruptible=frame.interruptible))
        if ledger.waiting > ROOM_S * ledger.rate:
            self._room.clear()

    async def _queue_item(self, frame: Frame) -> None:
        ledger = self._ledger
        position: int | None = None
        if isinstance(frame, TTSTextFrame):
            if frame.pts is not None:  # the first words of a context come just ahead of its audio
                self._words.audio(frame.context_id, ledger.queued, self.get_clock().get_time())
                position = self._words.word(frame.context_id, frame.pts, interruptible=frame.interruptible)
            self._sentence_told(frame, by_words=position is not None)
        elif isinstance(frame, AggregatedTextProgressFrame):
            if frame.pts is not None:
                position = self._words.place(frame.context_id, frame.pts)
        elif isinstance(frame, AggregatedTextFrame):
            if frame.pts is not None:  # the audio of this sentence may have come ahead of it
                position = self._words.place(frame.context_id, frame.pts)
            if frame.will_be_spoken:
                sentence = SpokenSentence(frame, frame.text, ledger.queued, ledger.rate)
                self._sentences.append(sentence)
        elif isinstance(frame, TTSStartedFrame):
            if not frame.append_to_context:
                self._off_the_record.add(frame.context_id)
        elif isinstance(frame, TTSStoppedFrame):
            self._words.ended(frame.context_id)
        if position is None and ledger.settled and not self._due:
            await self._release(frame)  # nothing was said that it could wait for
        else:
            self._send(ledger.item(frame, self._now(), position=position, interruptible=frame.interruptible))
            # The last report may have come just before: on a busy loop, in between two frames of one speech.
            self._now_due(ledger.take_due(ended=isinstance(frame, TTSStoppedFrame)))

    def _now_due(self, frames: list[Frame]) -> None:
        if frames:
            self._due.extend(frames)
            self._wake.set()

    def _sentence_told(self, frame: TTSTextFrame, *, by_words: bool) -> None:
        """The text of a sentence has come behind its audio, or word by word: it needs no guess any more."""
        for sentence in self._sentences:
            identity = sentence.identity
            if isinstance(identity, AggregatedTextFrame) and identity.id == frame.segment_id:
                if by_words:
                    self._sentences.remove(sentence)
                else:
                    sentence.end = self._ledger.queued
                return

    # ------------------------------------------------------------------ interruptions

    async def _interrupt(self, frame: InterruptionFrame) -> None:
        self._room.set()
        self._words.interrupted()
        self._estimate_at_hold = self._ledger.estimate(self._now())
        epoch = self._ledger.interrupt()
        if epoch is None:
            self._sentences.clear()
            await self.push_frame(frame)
            await self._bot_speaks(False)
            return
        self._held = frame
        self._link.send_event(Clear(epoch=epoch))
        self._hold_timer = self.get_event_loop().call_later(HOLD_S, self._clear_unanswered)

    async def _end_interruption(self, frame: InterruptionFrame, cut: Cut[Frame]) -> None:
        self._send(cut.resend)
        self._now_due(self._ledger.take_due())  # kept, although the speech before it was not
        if cut.dropped:
            self._monitor.frames_dropped(cut.dropped)
        await self.push_frame(frame)
        if not cut.resend:
            await self._bot_speaks(False)
        self._held = self._cut = None
        while self._held_back and self._held is None:
            await self._handle(self._held_back.popleft())

    # ------------------------------------------------------------------ what was heard

    async def _push_due(self) -> None:
        """Push what is due, in order: the one task of this stage."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._ledger.waiting <= ROOM_S * self._ledger.rate:
                self._room.set()
            now = self._now()
            if self._playing and not self._speaking:
                await self._bot_speaks(True)
            elif self._playing and now - self._spoke_at >= SPEAKING_EVERY_S:
                self._spoke_at = now
                await self.broadcast_frame(BotSpeakingFrame)
            while self._due:
                await self._release(self._due.popleft())
            if self._held is not None and self._cut is not None:
                await self._end_interruption(self._held, self._cut)
            if self._quiet_timer is not None and self._quiet_timer.when() <= now and self._ledger.settled:
                await self._bot_speaks(False)
            self._maybe_settled()

    async def _release(self, frame: Frame) -> None:
        if isinstance(frame, TTSStoppedFrame):
            self._off_the_record.discard(frame.context_id)
            await self._bot_speaks(False)
        if isinstance(frame, TTSTextFrame):
            self._forget_sentence(frame)
            self._monitor.text_heard(frame)
            await self.push_frame(frame if isinstance(frame, HeardTextFrame) else HeardTextFrame.of(frame))
        elif isinstance(frame, SpeechMarkFrame):
            self._monitor.mark_heard(frame.number)
        elif isinstance(frame, OutputTransportMessageFrame):
            await self.send_message(frame)
        elif isinstance(frame, OutputDTMFFrame):
            await self.write_dtmf(frame)
        else:
            if isinstance(frame, (AggregatedTextFrame, AggregatedTextProgressFrame)):
                self._monitor.text_heard(frame)
            await self.push_frame(frame)

    def _forget_sentence(self, frame: TTSTextFrame) -> None:
        for sentence in self._sentences:
            identity = sentence.identity
            if isinstance(identity, AggregatedTextFrame) and identity.id == frame.segment_id:
                self._sentences.remove(sentence)
                return

    async def _bot_speaks(self, speaks: bool) -> None:
        if speaks == self._speaking:
            return
        self._speaking = speaks
        self._spoke_at = self._now()
        self._monitor.bot_spoke(speaks)
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
            self._quiet_timer = None
        await self.broadcast_frame(BotStartedSpeakingFrame if speaks else BotStoppedSpeakingFrame)

    # ------------------------------------------------------------------ the end

    async def stop(self, frame: EndFrame) -> None:
        """The call ends when the caller has heard everything, and no later than that can take."""
        if not self.settled:
            self._settled = self.get_event_loop().create_future()
            left_s = max(0, self._ledger.unheard) / self._ledger.rate
            try:
                async with asyncio.timeout(left_s + END_SLACK_S):
                    await self._settled
            except TimeoutError:
                logger.warning("the gateway did not confirm the last {:.1f} s of speech", left_s)
        await super().stop(frame)
        await self._halt()

    @property
    def settled(self) -> bool:
        """Whether everything said so far was heard, or cut off."""
        return self._ledger.settled and not self._due and self._held is None and not self._held_back

    def _maybe_settled(self) -> None:
        if self._settled is not None and not self._settled.done() and self.settled:
            self._settled.set_result(None)

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._halt()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._halt()

    async def _halt(self) -> None:
        for timer in (self._hold_timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        self._room.set()
        task, self._due_task = self._due_task, None
        if task is not None:
            await self.cancel_task(task)

    # ------------------------------------------------------------------ what leaves

    async def send_message(
        self, frame: OutputTransportMessageFrame | OutputTransportMessageUrgentFrame
    ) -> None:
        """Pass a message on to the client's application."""
        message = frame.message
        if not isinstance(message, dict):
            await self._refuse(f"a transport message must be a dict, not {type(message).__name__}")
            return
        try:
            event = DataMessage(data=message)
            size = len(dump(event).encode())
        except ValueError as error:  # pydantic's, of whichever kind
            await self._refuse(f"a transport message must be JSON: {error}")
            return
        if size > MAX_EVENT_BYTES:  # the gateway would take it for a fault, and end the call
            await self._refuse(f"a transport message of {size} bytes: {MAX_EVENT_BYTES} are the limit")
            return
        if not self._messages.take(self._now()):  # the gateway would end the call, or starve a clear
            await self._refuse(f"more than {MESSAGES_PER_S} transport messages a second: one is left out")
            return
        self._link.send_event(event)

    async def _refuse(self, why: str) -> None:
        """Tell the author. It is the bot's mistake and no provider's failure: nobody is apologised to."""
        await self.push_error(why, category=ErrorCategory.APPLICATION)

    def _supports_native_dtmf(self) -> bool:
        return True

    async def _write_dtmf_native(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        digits = "".join(key.value for key in frame.buttons or [])
        for i in range(0, len(digits), MAX_KEYS):
            self._link.send_event(Dtmf(digits=digits[i : i + MAX_KEYS]))

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Say audio out of turn: at the end of what was said so far."""
        await self._say(frame)
        return True

    def _send(self, messages: list[bytes]) -> None:
        for pcm in messages:
            self._link.send_audio(pcm)

    def _at_link_rate(self, frame: OutputAudioRawFrame) -> bytes:
        # A service that passes on what it reads from a socket cuts where the network did.
        context = frame.context_id if isinstance(frame, TTSAudioRawFrame) else None
        pcm = self._half + frame.audio if context == self._half_of else frame.audio
        whole = len(pcm) - len(pcm) % (2 * frame.num_channels)
        pcm, self._half, self._half_of = pcm[:whole], pcm[whole:], context
        if frame.num_channels > 1:
            channels = np.frombuffer(pcm, np.int16).reshape(-1, frame.num_channels)
            pcm = channels.mean(axis=1).astype(np.int16).tobytes()
        if frame.sample_rate == self._link.bot_rate:
            return pcm
        resampler = self._resamplers.get(frame.sample_rate)
        if resampler is None:
            resampler = Resampler(frame.sample_rate, self._link.bot_rate)
            self._resamplers[frame.sample_rate] = resampler
        return resampler.process(pcm)

    def _now(self) -> float:
        return self.get_event_loop().time()


def _heard_part(sentence: AggregatedTextFrame, text: str, *, into_context: bool) -> HeardTextFrame:
    heard = HeardTextFrame(text, sentence.text_type, context_id=sentence.context_id, segment_id=sentence.id)
    heard.will_be_spoken = True
    heard.append_to_context = into_context  # the announcement's own is always False
    return heard
