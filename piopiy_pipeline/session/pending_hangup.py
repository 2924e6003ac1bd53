"""`PendingHangup`: the end that the bot has asked for, from the request until the end is in the pipeline.

The caller hears the goodbye first. Meanwhile the caller may go on speaking: an end that is not final waits
for what they say, and is called off if there are words in it. A transfer calls it off, too. Of one that is final
nobody calls anything off: what the caller begins to say cuts the goodbye off, and the model does not answer it.
"""

from __future__ import annotations

import asyncio

from loguru import logger
from pipecat.frames.frames import EndFrame

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.held_turns import HeldTurns, TurnListener
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.speech_end import LONGEST_GOODBYE_S, SpeechEnd

__all__ = ["PendingHangup"]

POLL_S = 0.05
WORDS_S = 5.0
"""A model that hears itself may write down what the caller has said so long behind it, in seconds."""
END_S = 5.0
"""How long the end may take to travel down a pipeline that has nothing left to say."""


class PendingHangup:
    """The end of one pipeline that its bot may ask for.

    Args:
        state: The call.
        worker: Runs the pipeline.
        speech_end: Waits until the caller has heard what the bot says.
    """

    def __init__(self, state: CallState, worker: CallWorker, speech_end: SpeechEnd) -> None:
        self._state = state
        self._worker = worker
        self._speech_end = speech_end
        self._drain_s: float | None = None
        self._final = False
        self._sent = False
        self._caller_speaks = False
        self._waiting: asyncio.Task[None] | None = None
        self._unwritten: asyncio.Task[None] | None = None  # waits for the words of a turn that is over

    @property
    def is_asked_for(self) -> bool:
        """Whether the bot has asked for the end, and the caller has not called it off."""
        return self._drain_s is not None

    def begin(self, drain_s: float, *, final: bool) -> None:
        """Ask for the end. Returns at once. To ask again only makes it final.

        An end that is not final waits for the tools that run, each of which has a deadline.

        Args:
            drain_s: Speech that has not begun within this many seconds is not waited for.
            final: Whether the end comes whatever the caller says.
        """
        if self._state.ended:
            return
        asked_before = self._drain_s is not None
        suspended = asked_before and self._waiting is None
        self._final = self._final or final
        self._state.closing = self._final
        self._state.checkpoints.asks_for_end("final" if self._final else "asked")
        if asked_before and not (suspended and final):
            return
        self._drain_s = drain_s
        if self._state.answered_at is not None and self._state.control.on_hold:
            self._state.control.switch("hold", False)
        if self._final or not self._caller_speaks:
            self._wait()

    def caller_speaks(self) -> None:
        """Wait for what the caller says, because their turn has begun. Of an end that is final: leave it unanswered."""
        self._caller_speaks = True
        self._wait_for_no_words()
        if self._state.closing and self._state.held_turns is None:
            held = HeldTurns(TurnListener(_ignore, _ignore, _ignore))
            held.let_model_answer(True)  # what tools return, and what the author has it say
            self._state.give_turns(held)
        if self._waiting is not None and not self._final and not self._sent:
            self._waiting.cancel()
            self._waiting = None

    def caller_stopped(self) -> None:
        """Note that the caller's turn is over, and its words come later, if there are any: then `caller_has_spoken`.

        Words that come when the end was asked for behind the turn do not call it off: they are what it was asked for.
        """
        self._caller_speaks = False
        if self._drain_s is not None and self._waiting is None:
            self._wait_for_no_words()
            self._unwritten = self._state.spawn(self._until_written(), "hangup_words")

    async def _until_written(self) -> None:
        await asyncio.sleep(WORDS_S)
        if self._drain_s is not None and self._waiting is None:
            self._wait()  # it was a noise

    def _wait_for_no_words(self) -> None:
        if self._unwritten is not None:
            self._unwritten.cancel()
            self._unwritten = None

    def caller_has_spoken(self, *, words: bool) -> None:
        """Note that the caller's turn is over. With words in it, the end is called off; a noise only delays
        it.
        """
        self._caller_speaks = False
        if self._drain_s is None or self._waiting is not None:
            return
        if words:
            logger.info("the caller goes on speaking: the bot does not hang up")
            self._call_off()
        else:
            self._wait()

    def transfer_begins(self) -> None:
        """Call off an end that is not final, because it would end the transfer."""
        if self._drain_s is not None and not self._final and not self._sent:
            logger.info("the caller is handed over: the bot does not hang up")
            self._call_off()
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    def _call_off(self) -> None:
        self._drain_s = None
        self._wait_for_no_words()
        self._state.checkpoints.asks_for_end("")

    def _wait(self) -> None:
        assert self._drain_s is not None
        self._waiting = self._state.spawn(self._finish_and_end(self._drain_s), "hangup")

    async def _finish_and_end(self, drain_s: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._speech_end.wait_until_finished(drain_s)
        while not self._final and self._state.recovery.tools_running:
            if loop.time() - began > LONGEST_GOODBYE_S:
                break
            await asyncio.sleep(POLL_S)  # a booking beside `end_call`, whose result the model answers
            await self._speech_end.wait_until_finished(drain_s)
        self._sent = True
        if self._state.recovery.busy and not self._state.recovery.tools_running:
            await self._worker.interrupt()  # the end would queue behind an answer that does not begin
        await self._worker.queue_frame(EndFrame(reason="the bot hung up"))
        ending = quiet_since = loop.time()
        while (now := loop.time()) - quiet_since < END_S:  # cancelled when the pipeline has ended
            if self._speech_end.is_heard and now - ending < LONGEST_GOODBYE_S:
                quiet_since = now  # a TTS that was slow to begin speaks before the end passes
            await asyncio.sleep(0.1)
        logger.error("a stage has swallowed the end of the call")
        self._state.finish(EndReason.AGENT_HANGUP, "the bot hung up; a stage held the end up")


def _ignore(_: str) -> None:
    """Do nothing about what the caller says or presses."""
