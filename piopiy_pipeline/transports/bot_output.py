"""The stage that speaks: it sends speech ahead of time, and releases what follows speech when the speech was
heard.

Everything between the audio (words, the end of a response, a mark) waits in the ledger until the
gateway's playout has passed it. An interruption sends `clear` and is held until the playout has
answered, so that the context gets what the caller heard, and then the interruption.

What each frame needs is decided in parts without I/O, which are tested by themselves: `ledger`
(positions), `text_timeline` (words and sentences), `held_interruption`, `speaking_state`, `speech_format`
(samples) and `outgoing_events` (messages and keys). This stage gives them frames, reports and the time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, Protocol

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
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.pipecat import process_as_plain_stage
from piopiy_pipeline.signaling.media_events import Clear, Cleared, Played
from piopiy_pipeline.transports.frames import HeardTextFrame, SpeechMarkFrame
from piopiy_pipeline.transports.held_interruption import HeldInterruption
from piopiy_pipeline.transports.ledger import Cut, SpeechLedger
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.outgoing_events import MessageRefused, OutgoingEvents
from piopiy_pipeline.transports.speaking_state import SpeakingState
from piopiy_pipeline.transports.speech_format import SpeechFormat
from piopiy_pipeline.transports.text_timeline import TextTimeline

__all__ = ["BotOutput", "SpeechMonitor"]

P = ParamSpec("P")

HOLD_S = 0.1
"""An interruption waits this long for the playout's answer, and then goes by this side's estimate."""
WAITING_S = 30
"""Speech that waits to be sent; a stage that makes more of it has to wait."""
LOGGED_FAILURES = 5
"""So many exceptions of what watches a call are logged."""
END_SLACK_S = 1.5
"""How much longer than its length the last speech may take until the end goes on without it."""


class SpeechMonitor(Protocol):
    """Receives what happens as speech goes on; the call's session is one. Its methods run on the event loop
    and do not wait.
    """

    def frame_arrived(self, frame: Frame) -> None:
        """Note that a frame other than audio has come down the pipeline, before it waits for anything."""

    def audio_arrived(self) -> None:
        """Note that the bot has something to say."""

    def speech_progressed(self, speaking: bool) -> None:
        """Note that the playout has reported; `speaking` tells whether it has more to play."""

    def mark_heard(self, number: int) -> None:
        """Note that everything before the `SpeechMarkFrame` of this number was heard."""

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None:
        """Note a text that has come to its place in the speech.

        A `TTSTextFrame` was heard, word or sentence; another `AggregatedTextFrame` begins now; a
        progress frame says how far a sentence with word times has come.
        """

    def bot_spoke(self, speaks: bool) -> None:
        """Note that the bot has begun to speak, or has stopped."""

    def sentence_progressed(self, text: str) -> None:
        """Note how much was heard, by an estimate, of a sentence whose words have no times."""

    def frames_dropped(self, frames: list[Frame]) -> None:
        """Note the frames that an interruption dropped before they were heard."""


class BotOutput(BaseOutputTransport):
    """The output transport of a call.

    Takes PCM16 audio of any rate, mono or not, and sends it as mono at the link's `bot_rate`.

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
        self._monitor_failures = 0
        self._ledger: SpeechLedger[Frame] = SpeechLedger(link.bot_rate, lead_ms=lead_ms)
        self._text = TextTimeline(link.bot_rate)
        self._format = SpeechFormat(link.bot_rate)
        self._interruption = HeldInterruption()
        self._state = SpeakingState()
        self._events = OutgoingEvents(link)
        self._due: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._may_say = asyncio.Event()
        self._may_say.set()
        self._due_task: asyncio.Task[None] | None = None
        self._hold_timer: asyncio.TimerHandle | None = None
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._settled: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------ called by the transport

    def on_played(self, report: Played) -> None:
        """Handle a report of the playout, that it has reached a position."""
        now = self._now()
        messages, due = self._ledger.played(report.epoch, report.position, report.dry, now)
        self._send(messages)
        if report.epoch != self._ledger.epoch:
            return
        self._due.extend(due)
        self._state.played(dry=report.dry, now=now)
        self._notify(self._monitor.speech_progressed, self._state.playing)
        heard = self._text.sentence_progress(self._ledger.heard, self._ledger.queued)
        if heard is not None:  # sentences with word times tell each word
            self._notify(self._monitor.sentence_progressed, heard)
        self._set_quiet_timer()
        self._wake.set()

    def on_cleared(self, answer: Cleared) -> None:
        """Handle the answer of the playout, that it was cleared."""
        if self._interruption.unanswered and answer.epoch == self._ledger.epoch:
            self._end_hold(answer.position)

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
        self._due.extend(self._text.cut(cut.position, queued))
        self._state.cleared()
        self._notify(self._monitor.speech_progressed, False)
        self._wake.set()

    def voice_failed(self) -> None:
        """Take note that the TTS has reported an error, before what it has to say arrives here."""
        self._text.voice_failed()

    # ------------------------------------------------------------------ the stage

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        if self._due_task is None:
            self._due_task = self.create_task(self._push_due(), "transport_out::due")
        await self.set_transport_ready(frame)

    async def set_transport_ready(self, frame: StartFrame) -> None:
        """Tell the pipeline that the transport is ready, without the queue and two tasks that the base class
        makes.
        """
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is FrameDirection.UPSTREAM:
            await super().process_frame(frame, direction)
            return
        if not isinstance(frame, OutputAudioRawFrame):
            self._notify(self._monitor.frame_arrived, frame)
        if isinstance(frame, SystemFrame | EndFrame | StopFrame) and not isinstance(frame, InterruptionFrame):
            await super().process_frame(frame, direction)
            return
        # The base class would push an interruption at once, and give the rest to its senders.
        await process_as_plain_stage(self, frame, direction)
        if self._interruption.holds:
            self._interruption.wait_behind(frame)
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
        await self._may_say.wait()
        context_id = frame.context_id if isinstance(frame, TTSAudioRawFrame) else None
        self._text.audio(context_id, self._ledger.queued, self.get_clock().get_time())
        self._notify(self._monitor.audio_arrived)
        pcm = self._format.convert(
            frame.audio, rate=frame.sample_rate, channels=frame.num_channels, context_id=context_id
        )
        if not pcm:
            return
        self._send(self._ledger.audio(pcm, self._now(), interruptible=frame.interruptible))
        if self._ledger.waiting > WAITING_S * self._ledger.rate:
            self._may_say.clear()

    async def _queue_item(self, frame: Frame) -> None:
        ledger = self._ledger
        position = self._text.place(frame, ledger.queued, self.get_clock().get_time())
        if position is None and ledger.settled and not self._due:
            await self._release(frame)  # nothing was said that it could wait for
            return
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
        self._text.interrupted()
        estimate = self._ledger.estimate(self._now())
        epoch = self._ledger.interrupt()
        if epoch is None:
            self._text.cut(0, 0)  # nothing of the sentences was heard
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
        if not cut.resend:
            await self._bot_speaks(False)
        self._interruption.end()
        while (behind := self._interruption.next_behind()) is not None:
            await self._handle(behind)

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
            self._text.stopped(frame)
            await self._bot_speaks(False)
        if isinstance(frame, TTSTextFrame):
            self._text.heard(frame)
            self._notify(self._monitor.text_heard, frame)
            await self.push_frame(frame if isinstance(frame, HeardTextFrame) else HeardTextFrame.of(frame))
        elif isinstance(frame, SpeechMarkFrame):
            self._notify(self._monitor.mark_heard, frame.number)
        elif isinstance(frame, OutputTransportMessageFrame):
            await self.send_message(frame)
        elif isinstance(frame, OutputDTMFFrame):
            await self.write_dtmf(frame)
        else:
            if isinstance(frame, AggregatedTextFrame | AggregatedTextProgressFrame):
                self._notify(self._monitor.text_heard, frame)
            await self.push_frame(frame)

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
                async with asyncio.timeout(left_s + END_SLACK_S):
                    await self._settled
            except TimeoutError:
                logger.warning("the gateway did not confirm the last {:.1f} s of speech", left_s)
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
        for timer in (self._hold_timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        self._may_say.set()
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
        except MessageRefused as error:
            # It is the bot's mistake and no provider's failure: nobody is apologised to.
            await self.push_error(str(error), category=ErrorCategory.APPLICATION)

    async def write_dtmf(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        """Send telephone keys as events, which the leg puts into the form of its network."""
        self._events.send_keys("".join(key.value for key in frame.buttons or []))

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Say audio out of turn, after what was said so far. Always returns True."""
        await self._say(frame)
        return True

    def _send(self, messages: list[bytes]) -> None:
        for pcm in messages:
            self._link.send_audio(pcm)

    def _notify(self, notify: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the monitor. What watches the speech must not stop it: an exception is logged, and goes no further."""
        try:
            notify(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  whatever a watcher raises
            self._monitor_failures += 1
            if self._monitor_failures <= LOGGED_FAILURES:  # it may fail with each of 50 frames a second
                logger.opt(exception=True).error("what watches the call failed: {}", error)

    def _now(self) -> float:
        return self.get_event_loop().time()
