"""The media link of a replay: a caller who does again what they did, and a playout clock for the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.audio.frame import FRAME_S, frame_samples
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.testing.line.in_process_link import InProcessLink
from piopiy_pipeline.testing.replaying.reenactment import Begun, Reenactment

__all__ = ["ReplayLink"]


class ReplayLink(InProcessLink):
    """The caller of a captured call. What the bot sends to their application is in the capture, which is around this.

    Args:
        caller: what the caller does, and when.
        bot_rate: sample rate of the bot's audio in Hz.
        on_begun: is called with every act of the caller as it begins.
        on_hangup: is called when the caller hangs up.
    """

    def __init__(
        self,
        caller: Reenactment,
        *,
        bot_rate: int,
        on_begun: Callable[[Begun], None],
        on_hangup: Callable[[], None],
    ) -> None:
        super().__init__(caller_rate=caller.rate, bot_rate=bot_rate)
        self._caller = caller
        self._on_begun, self._on_hangup = on_begun, on_hangup

    def on_bot_plays(self, now: float) -> None:
        self._caller.bot_started(self.ticks * FRAME_S)

    def on_bot_ran_dry(self, now: float) -> None:
        self._caller.bot_stopped(self.ticks * FRAME_S)

    def on_clear(self) -> None:
        self._caller.bot_stopped(asyncio.get_running_loop().time() - self.start)

    def on_frame_tick(self, now: float) -> None:
        self.play(now)
        step = self._caller.step(self.ticks * FRAME_S - FRAME_S, frame_samples(self.caller_rate))
        for begun in step.begun:
            self._on_begun(begun)
            if begun.act.kind == "dtmf":
                self.tell(Dtmf(digits=str(begun.act.data["digits"])))
            elif begun.act.kind == "message":
                self.tell(DataMessage(data=dict(begun.act.data["data"])))
        if step.hang_up:
            self.stop()
            self._on_hangup()
        elif self.listener is not None:
            self.listener.on_audio(step.pcm)
