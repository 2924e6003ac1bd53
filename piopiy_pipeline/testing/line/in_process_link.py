"""A call's media stream within one process: no gateway and no socket, but the same playout.

`InProcessLink` keeps the time of the line. Every 20 ms of the event loop's clock it calls
`on_frame_tick`, in which its owner plays the bot's speech (`play`) and sends the caller's. Under a loop
whose time is virtual this is as fast as the bot can think.
"""

from __future__ import annotations

import asyncio

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.playout import Playout
from piopiy_pipeline.signaling.media_events import (
    AgentMediaEvent,
    CalmPieces,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    Held,
    Hold,
    MediaStart,
    MediaStop,
    Played,
    Resume,
)
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["InProcessLink"]

LIMIT_S = 120
"""Speech that the bot may send ahead of what was played: a mistake in the bot's pacing is not what is tested."""


class InProcessLink:
    """A `MediaLink` whose other end is a subclass of it.

    Args:
        caller_rate: Sample rate of the caller's audio in Hz.
        bot_rate: Sample rate of the bot's audio in Hz.
    """

    ticks: int
    """How many frames of 20 ms have passed since the answer."""
    start: float
    """The loop's time of the answer, in seconds."""
    closed: bool
    """Whether the call is over."""

    def __init__(self, *, caller_rate: int, bot_rate: int) -> None:
        self.caller_rate = caller_rate
        self.bot_rate = bot_rate
        self.can_hold = True
        self.can_calm = False
        self.ticks = 0
        self.start = 0.0
        self.closed = False
        self.playout = Playout(rate=bot_rate, limit_s=LIMIT_S)
        self.listener: LinkListener | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ for the subclass

    def on_frame_tick(self, now: float) -> None:
        """Handle another 20 ms of the line, which are over at `now` of the loop's clock. To be overridden."""
        raise NotImplementedError

    def on_bot_plays(self, now: float) -> None:
        """Called when a frame of the bot's speech leaves the playout."""

    def on_bot_ran_dry(self, now: float) -> None:
        """Called when the playout has nothing left to play."""

    def on_clear(self) -> None:
        """Handle an interruption of the bot. Called before its speech is dropped."""

    def on_hold(self) -> None:
        """Handle that the bot's speech is held. Called before it falls silent."""

    def on_resume(self) -> None:
        """Handle that the bot lets its speech go on."""

    def on_agent_event(self, event: Dtmf | DataMessage) -> None:
        """Take keys that the bot has pressed, or its message to the client's application."""

    def on_closed(self) -> None:
        """Handle the end of the call. Called once."""

    def play(self, now: float) -> bytes | None:
        """Take the bot's next 20 ms from the playout, and tell the bot how far it has played.

        Args:
            now: The loop's time in seconds.

        Returns:
            PCM16 mono of one frame at `bot_rate`, or None if the bot says nothing.
        """
        played = self.playout.tick(now)
        if played.frames:
            self.on_bot_plays(now)
        for progress in played.progress:
            if progress.dry:
                self.on_bot_ran_dry(now)
            self.tell(Played(epoch=progress.epoch, position=progress.position, dry=progress.dry))
        return played.frames[0] if played.frames else None

    def tell(self, event: GatewayMediaEvent) -> None:
        """Tell the bot something, unless the call is over."""
        if self.listener is not None:
            self.listener.on_event(event)

    def lose_agent(self) -> None:
        """Go on without a bot, and without what was left to play of its speech, until another one is attached."""
        self.listener = None
        self.playout = Playout(rate=self.bot_rate, limit_s=LIMIT_S)

    def stop(self) -> None:
        """End the call: the line is silent from now on."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.listener = None
        self.on_closed()

    # ------------------------------------------------------------------ MediaLink

    def attach(self, listener: LinkListener) -> None:
        """Answer the call: time begins to pass. If it has begun, another agent goes on with the call."""
        self.listener = listener
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        self.start = loop.time()
        self._timer = loop.call_at(self.start + FRAME_S, self._tick)

    def send_audio(self, pcm: bytes) -> None:
        """Queue the bot's speech, PCM16 mono at `bot_rate`."""
        if not self.closed:
            self.playout.write(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        """Carry out an event of the bot: a clear, keys, or a message."""
        match event:
            case Clear(epoch=epoch):
                self.on_clear()
                answer = Cleared(epoch=epoch, position=self.playout.clear(epoch))
                asyncio.get_running_loop().call_soon(self.tell, answer)
            case Hold(epoch=epoch):
                self.on_hold()
                loop = asyncio.get_running_loop()
                held = Held(epoch=epoch, position=self.playout.hold(epoch, loop.time()))
                loop.call_soon(self.tell, held)
            case Resume(position=position):
                self.on_resume()
                self.playout.resume(position)
            case Dtmf() | DataMessage():
                self.on_agent_event(event)
            case MediaStop():
                self.stop()
            case MediaStart() | CalmPieces():
                pass

    async def close(self) -> None:
        """End the call from the bot's side."""
        self.stop()

    def _tick(self) -> None:
        if self.closed:
            return
        self.ticks += 1
        now = self.start + self.ticks * FRAME_S
        self._timer = asyncio.get_running_loop().call_at(now + FRAME_S, self._tick)
        self.on_frame_tick(now)
