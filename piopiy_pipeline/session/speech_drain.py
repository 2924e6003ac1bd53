"""Waiting for a bot to have said what it has to say, in bounded time: before a goodbye, or before it steps aside."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.session.call import Call
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["LONGEST_GOODBYE_S", "SpeechDrain"]

EVERY_S = 0.05
QUIET_S = 0.3
"""A bot that has said nothing for so long, and has nothing under way, has finished."""
LONGEST_GOODBYE_S = 60.0
"""Speech under way is heard to its end when the bot hangs up, up to this."""
UNHEARD_S = 5.0
"""Speech of which the playout clock has told nothing for so long is not waited for: nobody hears it."""
FINISH_S = 15.0
"""How long a blind transfer waits for what the bot is saying."""
APOLOGY_S = 10.0
"""How long a call that has failed goes on, for the caller to hear why."""


class SpeechDrain:
    """Of one run: what the monitor has seen, and what the output has not let go of yet."""

    def __init__(self, call: Call, monitor: CallMonitor, output: BotOutput) -> None:
        self._call = call
        self._monitor = monitor
        self._output = output

    async def finished(self, drain_s: float) -> None:
        """The bot has said everything, and what had not begun within `drain_s` is not waited for."""
        loop = asyncio.get_running_loop()
        began = quiet_since = loop.time()
        while True:
            now = loop.time()
            if self._speaks:
                quiet_since = now
                if now - began > LONGEST_GOODBYE_S:
                    return
            elif (self._call._care.busy or self._call._lines.owed) and now - began < drain_s:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(EVERY_S)

    async def spoken(self) -> None:
        """What the bot is saying was heard. A tool may run on: it may be the one that waits here."""
        loop = asyncio.get_running_loop()
        began = quiet_since = loop.time()
        while (now := loop.time()) - began < FINISH_S and not self._call.ended:
            if self._speaks or self._call._lines.owed or self._call._care.text_waits:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(EVERY_S)

    async def apologised(self) -> None:
        """What is said at the end of a call that has failed was heard."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < APOLOGY_S:
            await asyncio.sleep(0.1)
            if not self._speaks and loop.time() - self._monitor.spoke_at > 1.0:
                return

    @property
    def is_heard(self) -> bool:
        """Whether the caller is hearing the bot: the playout clock says so, and goes on saying so."""
        return self._monitor.speaking and self._progresses

    @property
    def _speaks(self) -> bool:
        return (self._monitor.speaking or not self._output.settled) and self._progresses

    @property
    def _progresses(self) -> bool:
        return asyncio.get_running_loop().time() - self._monitor.spoke_at < UNHEARD_S
