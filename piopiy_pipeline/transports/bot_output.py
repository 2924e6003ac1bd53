"""The stage that speaks: it sends speech ahead of time, and releases what follows it when it was heard.

Everything between the audio (words, the end of a response, a mark) waits in the ledger until the gateway's playout has
passed it. An interruption sends `clear` and is held until the playout has answered, so that the context gets what the
caller heard, and then the interruption. What a frame needs is decided by parts without I/O.
"""

from __future__ import annotations

import asyncio
from collections import deque

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
    LLMFullResponseStartFrame,
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
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.frame_taps import handle_at_once
from piopiy_pipeline.compat.pipecat import is_observed, process_as_plain_stage
from piopiy_pipeline.running_time import running_time
from piopiy_pipeline.signaling.media_events import Clear, Cleared, Held, Hold, Played, Resume
from piopiy_pipeline.transports.frames import SpeechMarkFrame, as_heard
from piopiy_pipeline.transports.held_answer import HeldAnswer
from piopiy_pipeline.transports.held_interruption import HeldInterruption
from piopiy_pipeline.transports.ledger import Cut, SpeechLedger
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.outgoing_events import MessageRefused, OutgoingEvents
from piopiy_pipeline.transports.speaking_state import SpeakingState
from piopiy_pipeline.transports.speech_format import SpeechFormat
from piopiy_pipeline.transports.speech_monitor import GuardedCalls, SpeechMonitor
from piopiy_pipeline.transports.speech_places import SpeechPlaces
from piopiy_pipeline.transports.text_timeline import TextTimeline

__all__ = ["BotOutput"]

HOLD_S = 0.1
"""An interruption waits this long for the playout's answer, and then goes by this side's estimate."""
WAITING_S = 30
"""Speech that waits to be sent; a stage that makes more of it has to wait."""
HELD_S = 3.0
"""A hold, and what is said again behind it, put off the end of the last speech by no more than this."""
END_SLACK_S = 1.5
"""How much longer than its length the last speech may take until the end goes on without it."""


class BotOutput(BaseOutputTransport):
    """The output transport of a call: takes PCM16 audio of any rate, and sends it as mono at the link's `bot_rate`.

    Args:
        params: Pipecat's transport parameters.
        link: The call's media link.
        monitor: Called as speech goes on.
        lead_ms: How much speech may be on its way and not heard, in milliseconds.
    """

    def __init__(
        self, params: TransportParams, link: MediaLink, monitor: SpeechMonitor, *, lead_ms: int = 5000
    ) -> None:
        super().__init__(params, enable_direct_mode=True, name="transport_out")
        self._link = link
        self._monitor = monitor
        self._notify = GuardedCalls()
        self._ledger: SpeechLedger[Frame] = SpeechLedger(link.bot_rate, lead_ms=lead_ms)
        self.text = TextTimeline(link.bot_rate)
        self._places = SpeechPlaces(link.bot_rate)
        self._format = SpeechFormat(link.bot_rate)
        self._interruption = HeldInterruption()
        self._state = SpeakingState()
        self._events = OutgoingEvents(link)
        self.ahead = HeldAnswer(self._arrived, lambda: self.get_clock().get_time())
        handle_at_once(self, OutputAudioRawFrame, self.ahead.take)
        self._now = running_time
        self._due: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._may_say = asyncio.Event()
        self._may_say.set()
        self._due_task: asyncio.Task[None] | None = None
        self._hold_timer: asyncio.TimerHandle | None = None
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._settled: asyncio.Future[None] | None = None
        self._ending: asyncio.Timeout | None = None

    # ------------------------------------------------------------------ called by the transport

    def on_played(self, report: Played) -> None:
        """Handle a report of the playout, that it has reached a position."""
        now = self._now()
        messages, due = self._ledger.played(report.epoch, report.position, report.dry, now)
        self._send(messages)
        if report.epoch != self._ledger.epoch:
            return
        self._places.heard(self._ledger.heard)
        self._due.extend(due)
        self._state.played(dry=report.dry, now=now)
        self._notify(self._monitor.speech_progressed, self._state.playing)
        heard = self.text.sentence_progress(self._ledger.heard, self._ledger.queued)
        if heard is not None:  # sentences with word times tell each word
            self._notify(self._monitor.sentence_progressed, heard)
        self._set_quiet_timer()
        self._wake.set()

    def on_cleared(self, answer: Cleared) -> None:
        """Handle the answer of the playout, that it was cleared."""
        if self._interruption.unanswered and answer.epoch == self._ledger.epoch:
            self._end_hold(answer.position)

    def on_held(self, answer: Held) -> None:
        """Handle the answer of the playout, that it holds the speech."""
        self._now_due(self._ledger.hold_answered(answer.epoch, answer.position))

    def _clear_unanswered(self) -> None:
        if self._interruption.unanswered:
            logger.warning("no answer to a clear in {} ms: going by an estimate", int(HOLD_S * 1000))
            self._end_hold(self._interruption.estimate)

    def _end_hold(self, position: int) -> None:
        """End the held interruption: `position` samples were heard before it."""
        if self._hold_timer is not None:
            self._hold_timer.cancel()
        queued = self._ledger.queued
        cut = self._ledger.cut(position, self._now())
        self._interruption.answered(cut)
        self._due.extend(cut.due)
        self._due.extend(self.text.cut(cut.position, queued, due=self._due))
        self._places.cut(cut.resend)
        self._state.cleared()
        self._notify(self._monitor.speech_progressed, False)
        self._wake.set()

    def voice_failed(self) -> None:
        """Take note that the TTS has reported an error, before what it has to say arrives here."""
        self.text.voice_failed()

    # ------------------------------------------------------------------ the stage

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        self._now = self.get_event_loop().time
        if self._due_task is None:
            self._due_task = self.create_task(self._push_due(), "transport_out::due")
        await self.set_transport_ready(frame)

    async def set_transport_ready(self, frame: StartFrame) -> None:
        """Tell the pipeline that the transport is ready, without the queue and two tasks of the base class."""
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is FrameDirection.UPSTREAM:
            await super().process_frame(frame, direction)
            return
        await self.ahead.take(frame)

    async def _arrived(self, frame: Frame, direction: FrameDirection) -> None:
        if not (sound := isinstance(frame, OutputAudioRawFrame)):
            self._notify(self._monitor.frame_arrived, frame)
        if isinstance(frame, SystemFrame | EndFrame | StopFrame) and not isinstance(frame, InterruptionFrame):
            await super().process_frame(frame, direction)
            return
        if not sound or is_observed(self):  # a base class in between would push an interruption at once
            await process_as_plain_stage(self, frame, direction)
        if self._interruption.holds:
            self._interruption.wait_behind(frame)
        else:
            await self._handle(frame)

    async def _handle(self, frame: Frame, *, waits: bool = True) -> None:
        if isinstance(frame, OutputAudioRawFrame):
            await self._say(frame, waits=waits)
        else:
            await (
                self._interrupt(frame) if isinstance(frame, InterruptionFrame) else self._queue_item(frame)
            )

    async def _say(self, frame: OutputAudioRawFrame, *, waits: bool = True) -> None:
        epoch = self._ledger.epoch
        if waits:
            await self._may_say.wait()
        context_id = frame.context_id if isinstance(frame, TTSAudioRawFrame) else None
        self.text.audio(context_id, self._ledger.queued, self.ahead.came_ns(frame), frame.interruptible)
        self._notify(self._monitor.audio_arrived)
        self._state.audio_came(self._now())
        for pcm in self._format.pieces(
            frame.audio, rate=frame.sample_rate, channels=frame.num_channels, context_id=context_id
        ):
            if waits:
                await self._may_say.wait()
            if frame.interruptible and self._ledger.epoch != epoch:
                return  # it was cut off while it waited
            self._places.audio(pcm)
            self._send(self._ledger.audio(pcm, self._now(), interruptible=frame.interruptible))
            if self._ledger.waiting > WAITING_S * self._ledger.rate:
                self._may_say.clear()

    async def _queue_item(self, frame: Frame) -> None:
        ledger = self._ledger
        self._state.note(frame)
        position = self.text.place(frame, ledger.queued, self.ahead.came_ns(frame))
        if position is None and ledger.settled and not self._due:
            await self._release(frame)  # nothing was said that it could wait for
            return
        if position is not None and isinstance(frame, TTSTextFrame):
            self._places.word(position)
        self._send(ledger.item(frame, self._now(), position=position, interruptible=frame.interruptible))
        # The last report may have come just before: on a busy loop, in between two frames of one speech.
        self._now_due(ledger.take_due(ended=isinstance(frame, TTSStoppedFrame)))

    def _now_due(self, frames: list[Frame]) -> None:
        if frames:
            self._due.extend(frames)
            self._wake.set()

    # ------------------------------------------------------------------ interruptions

    async def _interrupt(self, frame: InterruptionFrame) -> None:
        self._may_say.set()
        self.text.interrupted()
        estimate = self._ledger.estimate(self._now())
        if (epoch := self._ledger.interrupt()) is None:
            for heard in self.text.cut(self._ledger.queued, self._ledger.queued):  # all that there is
                await self._release(heard)
            self._state.cleared()
            await self.push_frame(frame)
            await self._bot_speaks(False)
            return
        self._interruption.begin(frame, estimate)
        self._link.send_event(Clear(epoch=epoch))
        self._hold_timer = self.get_event_loop().call_later(HOLD_S, self._clear_unanswered)

    async def _end_interruption(self, frame: InterruptionFrame, cut: Cut[Frame]) -> None:
        self._send(cut.resend)
        self._now_due(self._ledger.take_due())  # kept, although the speech before it was not
        if cut.dropped:
            self._notify(self._monitor.frames_dropped, cut.dropped)
        await self.push_frame(frame)
        if self.text.goes_on or any(isinstance(kept, TTSTextFrame) for kept in cut.kept):
            await self.push_frame(as_heard(LLMFullResponseStartFrame()))  # the context has ended the turn
        if not cut.resend:
            await self._bot_speaks(False)
        self._interruption.end()
        while (behind := self._interruption.next_behind()) is not None:
            await self._handle(behind, waits=False)  # only this task says that there is room

    # ------------------------------------------------------------------ holds

    @property
    def can_hold(self) -> bool:
        """Whether the gateway can hold speech. An older one cannot."""
        return self._link.can_hold

    @property
    def has_floor(self) -> bool:
        """Whether the bot speaks, or is between two sentences of an answer."""
        return self._state.speaking or self._state.playing or self._state.in_answer(self._now())

    @property
    def asks(self) -> bool:
        """Whether the bot's speech ends with a question, as far as it is known."""
        return self._state.asks

    @property
    def left_s(self) -> float | None:
        """Seconds of its speech that the bot has left; None as long as more of an answer may come."""
        more = self._state.more_comes(self._now())
        return None if more else max(0, self._ledger.unheard) / self._ledger.rate

    @property
    def is_spared(self) -> bool:
        """Whether what plays must not be interrupted."""
        return self._ledger.spares(self._now())

    def power(self, seconds: float) -> float:
        """Return the mean power of the last so many seconds heard, 1.0 at full scale; 0.0 if the bot is silent."""
        if not self._state.playing or self._ledger.held:
            return 0.0
        return self._places.power(self._ledger.estimate(self._now()), seconds)

    def hold(self) -> bool:
        """Make the bot silent at once, and throw nothing away. Call `resume` soon, or interrupt.

        Returns:
            Whether the speech is held. It is not where the gateway cannot do that, where an interruption is under
            way, and where what plays must not be interrupted.
        """
        if not self._link.can_hold or self._interruption.holds or self.is_spared:
            return False
        epoch = self._ledger.hold(self._now())
        if epoch is not None:
            self._link.send_event(Hold(epoch=epoch))
        return epoch is not None

    def resume(self) -> None:
        """Let speech that is held go on, from the beginning of the word that was cut off."""
        if not self._ledger.held:
            return
        now = self._now()
        position, messages = self._ledger.resume(now, self._places.word_begins(self._ledger.estimate(now)))
        self._link.send_event(Resume(position=position))
        if self._ending is not None and (ends := self._ending.when()) is not None:
            self._ending.reschedule(ends + HELD_S)
        self._send(messages)

    def decided(self, verdict: str, reason: str, held_s: float) -> None:
        """Tell the monitor what became of a sound over the speech. `SpeechMonitor` says what the arguments are."""
        self._notify(self._monitor.barge_in_decided, verdict, reason, held_s)

    # ------------------------------------------------------------------ what was heard

    async def _push_due(self) -> None:
        """Push everything that is due, in order. It is the only task of this stage."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._ledger.waiting <= WAITING_S * self._ledger.rate:
                self._may_say.set()
            now = self._now()
            if self._state.has_begun:
                await self._bot_speaks(True)
            elif self._state.goes_on(now):
                await self.broadcast_frame(BotSpeakingFrame)
            while self._due:
                await self._release(self._due.popleft())
            held = self._interruption
            if held.frame is not None and held.cut is not None:
                await self._end_interruption(held.frame, held.cut)
            if self._state.is_quiet(now) and self._ledger.settled:
                await self._bot_speaks(False)
            if self._settled is not None and not self._settled.done() and self.settled:
                self._settled.set_result(None)

    async def _release(self, frame: Frame) -> None:
        """Pass a frame on, because everything before it was heard."""
        if isinstance(frame, TTSStoppedFrame):
            self.text.stopped(frame)
            await self._bot_speaks(False)
        if isinstance(frame, TTSTextFrame):
            self.text.heard(frame)
        if isinstance(frame, SpeechMarkFrame):
            self._notify(self._monitor.mark_heard, frame.number)
        elif isinstance(frame, OutputTransportMessageFrame):
            await self.send_message(frame)
        elif isinstance(frame, OutputDTMFFrame):
            await self.write_dtmf(frame)
        else:
            if isinstance(frame, AggregatedTextFrame | AggregatedTextProgressFrame):
                self._notify(self._monitor.text_heard, frame)
            await self.push_frame(as_heard(frame))

    async def _bot_speaks(self, speaks: bool) -> None:
        if self._state.change(speaks, self._now()):
            self._notify(self._monitor.bot_spoke, speaks)
            self._set_quiet_timer()
            await self.broadcast_frame(BotStartedSpeakingFrame if speaks else BotStoppedSpeakingFrame)

    def _set_quiet_timer(self) -> None:
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
            self._quiet_timer = None
        if (quiet_at := self._state.quiet_at) is not None:
            self._quiet_timer = self.get_event_loop().call_at(quiet_at, self._wake.set)

    # ------------------------------------------------------------------ the end

    async def stop(self, frame: EndFrame) -> None:
        """Wait until the caller has heard everything, and no longer than that can take."""
        if not self.settled:
            self._settled = self.get_event_loop().create_future()
            left_s = max(0, self._ledger.unheard) / self._ledger.rate
            try:
                async with asyncio.timeout(left_s + END_SLACK_S) as self._ending:
                    await self._settled
            except TimeoutError:
                logger.warning("the gateway did not confirm the last {:.1f} s of speech", left_s)
            self._ending = None
        await super().stop(frame)
        await self._halt()

    @property
    def settled(self) -> bool:
        """Whether everything said so far was heard, or cut off."""
        return self._ledger.settled and not self._due and not self._interruption.holds

    @property
    def has_unheard(self) -> bool:
        """Whether there is speech that was not heard yet."""
        return self._ledger.unheard > 0

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._halt()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._halt()

    async def _halt(self) -> None:
        for timer in filter(None, (self._hold_timer, self._quiet_timer)):
            timer.cancel()
        self._may_say.set()
        self.ahead.close()
        task, self._due_task = self._due_task, None
        if task is not None:
            await self.cancel_task(task)

    # ------------------------------------------------------------------ what is sent

    async def send_message(
        self, frame: OutputTransportMessageFrame | OutputTransportMessageUrgentFrame
    ) -> None:
        """Pass a message on to the client's application. One that cannot be sent is an `ErrorFrame`."""
        try:
            self._events.send_message(frame.message, self._now())
        except MessageRefused as error:  # the bot's mistake and no provider's: nobody is apologised to
            await self.push_error(str(error), category=ErrorCategory.APPLICATION)

    async def write_dtmf(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        """Send telephone keys as events, which the leg puts into the form of its network."""
        self._events.send_keys("".join(key.value for key in frame.buttons or []))

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await self._say(frame)  # out of turn, after what was said so far
        return True

    def _send(self, messages: list[bytes]) -> None:
        for pcm in messages:
            self._link.send_audio(pcm)
