"""A caller who is a recording, within the process, with whom real stages are tested without a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import AggregatedTextFrame, AggregatedTextProgressFrame, Frame

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.signaling.messages import DataMessage, Dtmf
from piopiy_pipeline.testing.line.in_process_link import InProcessLink
from piopiy_pipeline.transports.media_stream import MediaStreamTransport

__all__ = ["RecordedLink", "RecordedTransport"]


class RecordedLink(InProcessLink):
    """Plays `recording`, int16 of shape ``[samples]``, to the bot and keeps what the bot was heard to say.

    Behind the recording the line is silent until the call is closed, or for `hangup_after_s`, when the
    caller hangs up.
    """

    def __init__(
        self,
        recording: NDArray[np.int16],
        *,
        caller_rate: int = 16000,
        bot_rate: int = 16000,
        hangup_after_s: float | None = None,
    ) -> None:
        super().__init__(caller_rate=caller_rate, bot_rate=bot_rate)
        self.events: list[Dtmf | DataMessage] = []
        """What the bot has sent beside audio."""
        self._pcm = recording.astype(np.int16).tobytes()
        self._frame_bytes = frame_bytes(caller_rate)
        self._end_s = None if hangup_after_s is None else len(self._pcm) / 2 / caller_rate + hangup_after_s
        self._said = bytearray()
        self._over = asyncio.Event()

    @property
    def said(self) -> NDArray[np.int16]:
        """Return what the bot was heard to say, int16 at `bot_rate`, from the beginning of the recording on."""
        return np.frombuffer(bytes(self._said), np.int16)

    async def wait_closed(self) -> None:
        """Wait until the call is over."""
        await self._over.wait()

    def on_agent_event(self, event: Dtmf | DataMessage) -> None:
        self.events.append(event)

    def on_closed(self) -> None:
        self._over.set()

    def on_frame_tick(self, now: float) -> None:
        listener, at = self.listener, (self.ticks - 1) * self._frame_bytes
        assert listener is not None
        self._said += self.play(now) or bytes(frame_bytes(self.bot_rate))
        listener.on_audio(self._pcm[at : at + self._frame_bytes].ljust(self._frame_bytes, b"\0"))
        if self._end_s is not None and self.ticks * FRAME_S >= self._end_s:
            self.stop()
            listener.on_lost()


class RecordedTransport(MediaStreamTransport):
    """A transport whose caller is a recording, for chains that run without a `Call`.

    It begins to play when the pipeline starts. `link.said` is what was heard of the bot.
    """

    def __init__(
        self,
        recording: NDArray[np.int16],
        *,
        hangup_after_s: float | None = None,
        on_hangup: Callable[[], None] | None = None,
    ) -> None:
        self.link = RecordedLink(recording, hangup_after_s=hangup_after_s)
        super().__init__(self.link, _Unwatched(), on_lost=on_hangup)
        self.input().on_start = self.open


class _Unwatched:
    """A `SpeechMonitor` that watches nothing."""

    def frame_arrived(self, frame: Frame) -> None: ...

    def audio_arrived(self) -> None: ...

    def speech_progressed(self, speaking: bool) -> None: ...

    def mark_heard(self, number: int) -> None: ...

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None: ...

    def bot_spoke(self, speaks: bool) -> None: ...

    def sentence_progressed(self, text: str) -> None: ...

    def barge_in_decided(self, verdict: str, reason: str, held_s: float) -> None: ...

    def frames_dropped(self, frames: list[Frame]) -> None: ...
