"""Makes a call speak by itself: text, answers of the model, and telephone keys, in order with what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.arguments import check_kind, check_switches, shown
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.utterances import OF_UTTERANCE, Utterance
from piopiy_pipeline.text import well_formed
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.transports.frames import SpeechMarkFrame

if TYPE_CHECKING:
    from piopiy_pipeline.session.realtime.realtime_run import RealtimeRun

__all__ = ["Speaker"]

SAID_S = 60.0
"""Keys wait this long at most for what a model that speaks is told to say, in seconds."""
POLL_S = 0.05
_NO_TTS = "nothing in this chain can say text: it has no TTS"


class Speaker:
    """Puts speech, requests to the model and keys into the pipeline of one call."""

    def __init__(
        self, state: CallState, pipeline: CallPipeline, worker: CallWorker, output: BotOutput
    ) -> None:
        self._state = state
        self._pipeline = pipeline
        self._worker = worker
        self._output = output
        self.before_speech: Callable[[], Awaitable[None]] | None = None
        """Awaited before something is said that is no answer of the model."""
        self.realtime: RealtimeRun | None = None
        """Says everything, if the model speaks itself."""
        self._rest: asyncio.Future[bool] | None = None
        if state.checkpoints.left_to_say:
            state.events.on("answered", self._answered)
        self._keys = asyncio.Lock()  # fair: keys go in the order in which they were pressed

    def say(
        self, text: str, *, interruptible: bool = True, into_context: bool = True, to_the_end: bool = False
    ) -> asyncio.Future[bool]:
        """Say `text` now, ahead of what the model says later.

        Args:
            text: What to say.
            interruptible: Whether the caller can cut it off.
            into_context: Whether the model sees it in the conversation; what is said `to_the_end` it does.
            to_the_end: Whether another instance says what is left of it, if this one is lost.

        Returns:
            A future that tells whether the text was heard in full.

        Raises:
            StageError: The pipeline has no TTS.
            TypeError: `text` is no text, or a switch is neither True nor False.
        """
        if not isinstance(text, str):
            raise TypeError(f"only a text can be said, not {shown(text)}")
        check_switches(interruptible=interruptible, to_the_end=to_the_end, into_context=into_context)
        into_context = (
            into_context or to_the_end
        )  # another instance finds in the conversation what was heard of it
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._state.ended:
            heard.set_result(False)
        elif self.realtime is not None and self._tts() is None and not text.strip():
            heard.set_result(True)  # a model that is told to say nothing says something
        else:
            self.repeat(Utterance(well_formed(text), interruptible, into_context, heard))
            if to_the_end:
                self._state.promised.begin(text, heard)
                self._state.checkpoints.part_changed()
                return asyncio.shield(heard)  # who waits may be cancelled, and the text is said all the same
        return heard

    def _answered(self, _: object) -> None:
        self.say_the_rest()

    def say_the_rest(self) -> asyncio.Future[bool]:
        """Say what is left of a sentence that the instance before was saying, once.

        Returns:
            A future that tells whether it was heard in full.
        """
        if self._rest is None:
            if rest := self._state.checkpoints.left_to_say:
                self._rest = self.say(rest, to_the_end=True)
            else:
                self._rest = asyncio.get_running_loop().create_future()
                self._rest.set_result(True)
        return self._rest

    async def say_behind(self, text: str, into_context: bool = True) -> asyncio.Future[bool]:
        """Say `text` behind what the model was asked for before. Return when it is on its way.

        Args:
            text: What to say.
            into_context: Whether the model sees it in the conversation.

        Returns:
            A future that tells whether the text was heard in full.

        Raises:
            StageError: The pipeline has no TTS.
        """
        tts = self._tts()
        if tts is None and self.realtime is None:
            raise StageError(_NO_TTS)
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._state.ended:
            heard.set_result(False)
            return heard
        utterance = Utterance(well_formed(text), True, into_context, heard)
        if tts is None and self.realtime is not None:
            self.realtime.say(utterance, behind=True)
            return heard
        mark = SpeechMarkFrame(number=self._state.utterances.add(utterance))
        speak = TTSSpeakFrame(utterance.text, append_to_context=into_context)
        speak.metadata[OF_UTTERANCE] = mark.number
        await self._worker.queue_frames([speak, mark])
        return heard

    async def say_goodbye(self, text: str, *, within_s: float, interruptible: bool = True) -> None:
        """Say the last words of a call. Return when they were heard and are in the conversation.

        Args:
            text: What to say.
            within_s: How long that may take, in seconds.
            interruptible: Whether the caller can cut it off.

        Raises:
            StageError: The pipeline has no TTS.
            TimeoutError: It took longer.
        """
        async with asyncio.timeout(within_s):
            await self.say(text, interruptible=interruptible)
        await self._worker.settle()  # what is in the conversation after the end of the call, no record has

    def repeat(self, utterance: Utterance) -> None:
        """Say an utterance, once more perhaps.

        Raises:
            StageError: The pipeline has no TTS.
        """
        tts = self._tts()
        if tts is None and self.realtime is not None:
            self.realtime.say(utterance)
            return
        if tts is None:
            raise StageError(_NO_TTS)
        number = self._state.utterances.add(utterance)
        speak = TTSSpeakFrame(utterance.text, append_to_context=utterance.into_context)
        speak.metadata[OF_UTTERANCE] = number
        mark = SpeechMarkFrame(number=number)
        speak.interruptible = mark.interruptible = utterance.interruptible
        self._state.spawn(self._say(tts, speak, mark), "say")

    async def _say(self, tts: FrameProcessor, speak: Frame, mark: Frame) -> None:
        if self.before_speech is not None:
            await self.before_speech()
        await _queue(tts, speak, mark)

    def tell(self, message: Any) -> None:
        """Tell a model that keeps the conversation itself of a message that was put into the context."""
        if self.realtime is not None:
            self._state.spawn(self.realtime.entries.tell(message), "realtime_note")

    def answer_stalled(self) -> None:
        """Take note that nothing more comes of an answer, which was cut off and will be asked for once more."""
        if self.realtime is not None:
            self.realtime.answer_stalled()

    async def respond(self, note: str | None = None) -> None:
        """Have the model answer the conversation so far.

        With a `note`, the note goes into the conversation first, and the model answers when nobody speaks.

        Raises:
            TypeError: `note` is no text.
        """
        check_kind("respond: note", note, (str, type(None)), "a text, or None")
        if self.realtime is not None:
            await self.realtime.respond(note)
            return
        if note is None:
            await self._worker.queue_frame(LLMRunFrame())
            return
        append = LLMMessagesAppendFrame(messages=[{"role": "developer", "content": note}], run_llm=True)
        append.interruptible = False  # what has happened has happened
        assistant = self._pipeline.find(LLMAssistantAggregator)
        if assistant is None:
            await self._worker.queue_frame(append)
        else:  # the assistant's side of the context knows who is speaking, and waits for them
            await assistant.queue_frame(append)

    async def press_keys(self, digits: str, *, at_once: bool) -> None:
        """Send telephone keys, after what the bot is saying or `at_once`."""
        check_switches(at_once=at_once)
        if at_once:
            await _queue(self._output, OutputDTMFUrgentFrame.from_string(digits))
        else:
            keys = OutputDTMFFrame.from_string(digits)
            keys.interruptible = False  # a recorded menu that talks would cut them off
            self._state.spawn(self._press_behind_speech(keys), "send_dtmf")

    async def _press_behind_speech(self, keys: Frame) -> None:
        tts = self._tts()
        async with self._keys:
            if tts is None and self.realtime is not None:
                await self._until_said(self.realtime)
            await _queue(tts or self._output, keys)

    @staticmethod
    async def _until_said(model: RealtimeRun) -> None:
        try:
            async with asyncio.timeout(SAID_S):
                while model.has_to_say:  # noqa: ASYNC110  an interruption ends it, too
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            logger.warning("what the model is told to say did not come: keys wait no longer")

    def _tts(self) -> FrameProcessor | None:
        """Return the stage that says text: the one named ``tts``, else the first TTS or switch of TTS services."""
        if "tts" in self._pipeline:
            return self._pipeline["tts"]
        for name in self._pipeline.names:
            stage = self._pipeline[name]
            if isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, TTSService):
                return stage
        return None


async def _queue(stage: FrameProcessor, *frames: Frame) -> None:
    """Queue frames at a stage, after what waits there."""
    for frame in frames:
        await stage.queue_frame(frame, FrameDirection.DOWNSTREAM)
