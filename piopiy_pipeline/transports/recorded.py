"""A call whose caller is a recording, within the process: no gateway, no socket.

`RecordedLink` is the media link of such a call: it plays the recording at the pace of the event
loop's clock, 20 ms at a time, and has a playout clock of its own for what the bot says. Under a loop
whose time is virtual it is as fast as the bot can think. `RecordedTransport` is a pipecat transport
on it, for chains that run without a `Call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import AggregatedTextFrame, AggregatedTextProgressFrame, Frame
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.audio.playout import FRAME_MS, Playout, Progress
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    MediaStart,
    MediaStop,
    Played,
)
from piopiy_pipeline.transports.link import LinkListener
from piopiy_pipeline.transports.media_stream import MediaStreamTransport

__all__ = ["RecordedLink", "RecordedTransport"]

FRAME_S = FRAME_MS / 1000


class RecordedLink:
    """Plays `recording` to the bot and keeps what the bot was heard to say.

    `recording` is a WAV file, or int16 samples of shape ``[samples]`` at `caller_rate` Hz. Behind it
    the line is silent until the call is closed, or for `hangup_after_s`, when the caller hangs up.
    """

    def __init__(
        self,
        recording: Path | NDArray[np.int16],
        *,
        caller_rate: int = 16000,
        bot_rate: int = 16000,
        hangup_after_s: float | None = None,
        on_event: Callable[[AgentMediaEvent], None] | None = None,
    ) -> None:
        self.caller_rate = caller_rate
        self.bot_rate = bot_rate
        pcm = read_wav(recording, caller_rate) if isinstance(recording, Path) else recording
        self._pcm = pcm.astype(np.int16).tobytes()
        self._frame_bytes = caller_rate * FRAME_MS // 1000 * 2
        self._silence = bytes(self._frame_bytes)
        self._end_s = None if hangup_after_s is None else len(self._pcm) / 2 / caller_rate + hangup_after_s
        self._playout = Playout(rate=bot_rate, limit_s=120)
        self._said = bytearray()
        self._listener: LinkListener | None = None
        self._on_event = on_event
        self._timer: asyncio.TimerHandle | None = None
        self._start = 0.0
        self._ticks = 0
        self._closed = asyncio.Event()

    @property
    def said(self) -> NDArray[np.int16]:
        """What the bot was heard to say, int16 at `bot_rate`, from the beginning of the recording on."""
        return np.frombuffer(bytes(self._said), np.int16)

    @property
    def position_s(self) -> float:
        """How far the recording, and the silence behind it, has been played."""
        return self._ticks * FRAME_S

    async def wait_closed(self) -> None:
        """Return when the call is over."""
        await self._closed.wait()

    # ------------------------------------------------------------------ MediaLink

    def attach(self, listener: LinkListener) -> None:
        self._listener = listener
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        self._timer = loop.call_at(self._start + FRAME_S, self._tick)

    def send_audio(self, pcm: bytes) -> None:
        if not self._closed.is_set():
            self._playout.write(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        match event:
            case Clear(epoch=epoch):
                position = self._playout.clear(epoch)
                answer = Cleared(epoch=epoch, position=position)
                asyncio.get_running_loop().call_soon(self._tell, answer)
            case Dtmf() | DataMessage() if self._on_event is not None:
                self._on_event(event)
            case MediaStop():
                self._stop()
            case MediaStart() | Dtmf() | DataMessage():
                pass

    async def close(self) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._listener = None
        self._closed.set()

    # ------------------------------------------------------------------ the clock

    def _tick(self) -> None:
        """The next 20 ms of the line, in both directions."""
        listener = self._listener
        if listener is None:
            return
        at = self._ticks * self._frame_bytes
        self._ticks += 1
        now = self._start + self._ticks * FRAME_S
        heard = self._playout.tick(now)
        self._said += heard.frames[0] if heard.frames else bytes(self.bot_rate * FRAME_MS // 1000 * 2)
        listener.on_audio(self._pcm[at : at + self._frame_bytes].ljust(self._frame_bytes, b"\0"))
        for progress in heard.progress:
            listener.on_event(_played(progress))
        if self._end_s is not None and self.position_s >= self._end_s:
            self._stop()
            listener.on_lost()
            return
        self._timer = asyncio.get_running_loop().call_at(now + FRAME_S, self._tick)

    def _tell(self, answer: Cleared) -> None:
        if self._listener is not None:
            self._listener.on_event(answer)


def _played(progress: Progress) -> Played:
    return Played(epoch=progress.epoch, position=progress.position, dry=progress.dry)


class RecordedTransport(MediaStreamTransport):
    """A pipecat transport whose caller is a recording; see `RecordedLink` for `recording`.

        transport = RecordedTransport(Path("caller.wav"))
        pipeline = Pipeline([transport.input(), stage, transport.output()])

    It begins to play when the pipeline starts. `link.said` is what was heard of the bot.
    """

    def __init__(
        self,
        recording: Path | NDArray[np.int16],
        *,
        caller_rate: int = 16000,
        bot_rate: int = 16000,
        hangup_after_s: float | None = None,
        on_hangup: Callable[[], None] | None = None,
        params: TransportParams | None = None,
    ) -> None:
        self.link = RecordedLink(
            recording, caller_rate=caller_rate, bot_rate=bot_rate, hangup_after_s=hangup_after_s
        )
        super().__init__(self.link, _Unwatched(), params, on_lost=on_hangup)
        self.input().on_start = self.open


class _Unwatched:
    """Nobody watches this output."""

    def frame_arrived(self, frame: Frame) -> None: ...

    def audio_arrived(self) -> None: ...

    def speech_progressed(self, speaking: bool) -> None: ...

    def mark_heard(self, number: int) -> None: ...

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None: ...

    def bot_spoke(self, speaks: bool) -> None: ...

    def sentence_progressed(self, text: str) -> None: ...

    def frames_dropped(self, frames: list[Frame]) -> None: ...
