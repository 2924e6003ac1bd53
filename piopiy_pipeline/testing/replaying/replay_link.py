"""The media link of a replay: a caller who does again what they did, and a playout clock for the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.audio.playout import FRAME_MS, Playout
from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    MediaStart,
    MediaStop,
    Played,
)
from piopiy_pipeline.testing.replaying.reenactment import Begun, Reenactment
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["ReplayLink"]

FRAME_S = FRAME_MS / 1000


class ReplayLink:
    """As `MediaLink`. `on_begun` is told of every act of the caller, `on_hangup` when the caller hangs up."""

    def __init__(
        self,
        caller: Reenactment,
        *,
        bot_rate: int,
        on_begun: Callable[[Begun], None],
        on_hangup: Callable[[], None],
    ) -> None:
        self.caller_rate = caller.rate
        self.bot_rate = bot_rate
        self._caller = caller
        self._on_begun, self._on_hangup = on_begun, on_hangup
        self._playout = Playout(rate=bot_rate, limit_s=120)
        self._listener: LinkListener | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._start = 0.0
        self._ticks = 0
        self._closed = False

    @property
    def start(self) -> float:
        """The loop's time of the answer."""
        return self._start

    # ------------------------------------------------------------------ MediaLink

    def attach(self, listener: LinkListener) -> None:
        loop = asyncio.get_running_loop()
        self._listener = listener
        self._start = loop.time()
        self._timer = loop.call_at(self._start + FRAME_S, self._tick)

    def send_audio(self, pcm: bytes) -> None:
        if not self._closed:
            self._playout.write(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        match event:
            case Clear(epoch=epoch):
                position = self._playout.clear(epoch)
                self._caller.bot_stopped(self._now())
                answer = Cleared(epoch=epoch, position=position)
                asyncio.get_running_loop().call_soon(self._tell, answer)
            case MediaStop():
                self._stop()
            case MediaStart() | Dtmf() | DataMessage():  # the recorder, which is around this link, has them
                pass

    async def close(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._listener = None

    def _tell(self, event: GatewayMediaEvent) -> None:
        if self._listener is not None:
            self._listener.on_event(event)

    # ------------------------------------------------------------------ every 20 ms

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._start

    def _tick(self) -> None:
        listener = self._listener
        if listener is None:
            return
        self._ticks += 1
        now = self._ticks * FRAME_S
        self._timer = asyncio.get_running_loop().call_at(self._start + now + FRAME_S, self._tick)
        heard = self._playout.tick(self._start + now)
        if heard.frames:
            self._caller.bot_started(now)
        for progress in heard.progress:
            if progress.dry:
                self._caller.bot_stopped(now)
            self._tell(Played(epoch=progress.epoch, position=progress.position, dry=progress.dry))
        step = self._caller.step(now - FRAME_S, self.caller_rate * FRAME_MS // 1000)
        for begun in step.begun:
            self._on_begun(begun)
            if begun.act.kind == "dtmf":
                self._tell(Dtmf(digits=str(begun.act.data["digits"])))
            elif begun.act.kind == "message":
                self._tell(DataMessage(data=dict(begun.act.data["data"])))
        if step.hang_up:
            self._stop()
            self._on_hangup()
        elif self._listener is not None:
            self._listener.on_audio(step.pcm)
