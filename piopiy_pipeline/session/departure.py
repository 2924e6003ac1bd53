"""`Departure`: how a call leaves an agent that drains: to another instance between two turns, or with a goodbye.

Between two turns neither side speaks, no tool runs, nobody waits for an answer, and the caller has not begun a turn or
an entry of keys. A call that moves just then goes on with the conversation as it is: the bot has nothing to say. It
serves the call here until the next instance is ready, and what the caller says meanwhile, the next one hears, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.speaker import Speaker
from piopiy_pipeline.session.speech_end import SpeechEnd
from piopiy_pipeline.signaling.messages import Move

__all__ = ["Departure"]

QUIET_S = 0.3
"""Neither side has spoken for so long, in seconds, before a call moves."""
POLL_S = 0.05
AGAIN_S = 1.0
"""After so many seconds it is asked for again: nobody could take the call, or the conversation went on here. A gateway
that is about it already does nothing then.
"""
FINISH_S = 5.0
"""How long the bot may go on with what it is saying before its goodbye, in seconds; then it is cut off. If the rest
takes longer, it is cut off at the end of the sentence."""
GOODBYE_S = 15.0
"""How long the goodbye may take, in seconds."""


class Departure:
    """The end of one call at this instance.

    Args:
        state: The call.
        monitor: Knows who was heard when.
        speaker: Says the goodbye.
        speech_end: Waits until what the bot says was heard.
        is_free: Returns whether the bot has nothing to say, and nothing is asked of the model.
        is_typing: Returns whether the caller has begun to type keys, which are no turn yet.
        messages: Returns the conversation.
        cut_off: Cuts off what the bot is saying.
        goodbye: What to say.
    """

    def __init__(
        self,
        state: CallState,
        monitor: CallMonitor,
        speaker: Speaker,
        speech_end: SpeechEnd,
        *,
        is_free: Callable[[], bool],
        is_typing: Callable[[], bool],
        messages: Callable[[], Sequence[Any]],
        cut_off: Callable[[], Awaitable[None]],
        goodbye: str,
    ) -> None:
        self._state = state
        self._monitor = monitor
        self._speaker = speaker
        self._speech_end = speech_end
        self._is_free = is_free
        self._is_typing = is_typing
        self._messages = messages
        self._cut_off = cut_off
        self.goodbye = goodbye
        self._leaving: asyncio.Task[None] | None = None

    def leave(self, heard_s: Callable[[], float | None]) -> None:
        """Move to another instance as soon as this is a moment between two turns. Returns at once.

        Args:
            heard_s: Returns how much of the caller's audio has arrived, in seconds; None if that is not known.
        """
        if self._leaving is None:
            self._leaving = self._state.spawn(self._leave(heard_s), "leave")

    def say_goodbye(self, reason: EndReason) -> None:
        """Say goodbye, and end the call for this reason. Returns at once."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = self._state.spawn(self._end(reason), "goodbye")

    async def _leave(self, heard_s: Callable[[], float | None]) -> None:
        state = self._state
        while not state.ended:
            if self._is_between_turns() and await self._saved() and self._is_between_turns():
                state.post(Move(call_id=state.info.call_id, heard_s=heard_s()))
                await asyncio.sleep(AGAIN_S)  # cancelled when the call has moved
            await asyncio.sleep(POLL_S)

    async def _saved(self) -> bool:
        collected = self._state.collected
        collected.moving = True
        try:
            return await self._state.checkpoints.save_for_move()
        except ValueError as error:  # what it holds may be JSON after the next turn
            logger.warning("this call cannot move yet: {}", error)
            await asyncio.sleep(AGAIN_S)
            return False
        finally:
            collected.moving = False

    def _is_between_turns(self) -> bool:
        state, monitor = self._state, self._monitor
        if state.answered_at is None or not self._is_free() or state.recovery.tools_running:
            return False
        if monitor.speaking or monitor.users_turn or monitor.unheard_words or monitor.owed_final:
            return False
        if self._is_typing():
            return False
        if monitor.guard is not None and monitor.guard.caller_speaks:
            return False
        spoke_at = max(monitor.progressed_at, monitor.caller_spoke_at)
        if (
            not state.control.on_hold
        ):  # then nobody can speak, which counts as speech so that it is no silence
            spoke_at = max(spoke_at, monitor.spoke_at)
        if state.now() - spoke_at < QUIET_S:
            return False
        held = state.held_turns
        if held is not None and held.redact:  # what the bot has asked is not in the conversation
            return held.waits_for_caller
        messages = self._messages()
        waits = bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "user"
        return not waits

    async def _end(self, reason: EndReason) -> None:
        state = self._state
        try:
            if state.answered_at is not None:
                if state.control.on_hold:
                    state.control.switch("hold", False)
                if not await self._speech_end.wait_until_finished(
                    FINISH_S, longest_s=FINISH_S, or_sentence=True
                ):
                    await self._cut_off()
                await self._speaker.say_goodbye(self.goodbye, within_s=GOODBYE_S, interruptible=False)
        except (StageError, TimeoutError) as error:
            logger.warning("the goodbye of a call that is drained was not said: {}", own_text(error))
        state.finish(reason, "the agent was shut down")
