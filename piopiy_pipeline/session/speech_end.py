"""Waits, in bounded time, until the bot has finished speaking: before it hangs up, or hands over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.text import sentence_ends
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["LONGEST_GOODBYE_S", "SpeechEnd"]

POLL_S = 0.05
QUIET_S = 0.3
"""A bot that has said nothing for this long, and has nothing under way, has finished."""
LONGEST_GOODBYE_S = 60.0
"""When the bot hangs up, speech under way is heard to its end, up to this."""
UNHEARD_S = 5.0
"""Speech is not waited for when the playout has reported nothing for this long: nobody hears it."""
FINISH_S = 15.0
"""How long a blind transfer waits for what the bot is saying."""
APOLOGY_S = 10.0
"""How long a call that has failed goes on, so that the caller hears why."""
BEGIN_S = 4.0
"""How long the voice may take to begin with that."""
AFTER_APOLOGY_S = 0.8
"""The silence between that and the end."""


class SpeechEnd:
    """Watches what one pipeline still has to say.

    Args:
        state: The call.
        monitor: Knows what was heard.
        output: Knows what waits to be played.
    """

    def __init__(self, state: CallState, monitor: CallMonitor, output: BotOutput) -> None:
        self._state = state
        self._monitor = monitor
        self._output = output
        self.unread: Callable[[], bool] = lambda: False
        """Returns whether words are on their way to who reads them."""

    async def wait_until_finished(
        self, drain_s: float, *, longest_s: float = LONGEST_GOODBYE_S, or_sentence: bool = False
    ) -> bool:
        """Wait until the bot has said everything that it begins within `drain_s` seconds.

        Args:
            drain_s: What has not begun within so many seconds is not waited for.
            longest_s: So long it may take in all, in seconds.
            or_sentence: Whether to return at the end of a sentence already, if the rest will take longer than that,
                or if it is not known how long. Speech that must not be cut off is heard to its end all the same.

        Returns:
            Whether nothing is under way any more.
        """
        loop = asyncio.get_running_loop()
        began = quiet_since = loop.time()
        heard = self._sentences_heard
        while True:
            now = loop.time()
            if self._speaks:
                quiet_since = now
                if now - began > longest_s:
                    return False
                if (
                    or_sentence
                    and self._sentences_heard != heard
                    and not self._ends_within(began + longest_s - now)
                ):
                    return False
            elif (self._state.recovery.busy or self._state.utterances.pending) and now - began < drain_s:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return not (self._state.recovery.busy or self._state.utterances.pending)
            await asyncio.sleep(POLL_S)

    async def wait_until_spoken(self) -> None:
        """Wait until what the bot is saying was heard. A tool may run on: it may be what waits here."""
        state = self._state
        loop = asyncio.get_running_loop()
        began = quiet_since = loop.time()
        while (now := loop.time()) - began < FINISH_S and not state.ended:
            if self._speaks or state.utterances.pending or state.recovery.sentence_announced:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(POLL_S)

    async def wait_until_apologised(self) -> None:
        """Wait until the caller has heard what is said at the end of a call that has failed."""
        loop = asyncio.get_running_loop()
        began = quiet_since = loop.time()
        while (now := loop.time()) - began < APOLOGY_S:
            pending = self._state.utterances.pending or self._state.recovery.sentence_announced
            if self._speaks or (pending and now - began < BEGIN_S):
                quiet_since = now
            elif now - quiet_since >= AFTER_APOLOGY_S:
                return
            await asyncio.sleep(POLL_S)

    @property
    def _sentences_heard(self) -> tuple[float, int]:
        """Something else whenever the caller has heard another sentence to its end."""
        return self._monitor.sentence_heard_at, sentence_ends(self._monitor.partly_heard)

    def _ends_within(self, seconds: float) -> bool:
        left_s = self._output.left_s
        return self._output.is_spared or (left_s is not None and left_s <= seconds)

    @property
    def is_heard(self) -> bool:
        """Return whether the caller is hearing the bot: the playout says so, and goes on saying so."""
        return self._monitor.speaking and self._progresses

    @property
    def _speaks(self) -> bool:
        return self.unread() or ((self._monitor.speaking or not self._output.settled) and self._progresses)

    @property
    def _progresses(self) -> bool:
        return asyncio.get_running_loop().time() - self._monitor.progressed_at < UNHEARD_S
