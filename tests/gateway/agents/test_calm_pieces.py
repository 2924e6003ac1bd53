"""While a caller's line is quiet, an agent that asks for it gets longer pieces; what is loud comes as before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from piopiy_pipeline.gateway.agents.agent_media import AgentMedia, MediaListener
from piopiy_pipeline.gateway.agents.outgoing_audio import OutgoingAudio
from piopiy_pipeline.signaling.messages import CalmPieces, MediaStart, Message, dump
from piopiy_pipeline.signaling.websocket import DirectServerConnection

FRAME, PIECE = 640, 1024
SOFT = np.random.default_rng(0).normal(0, 20, FRAME // 2).astype("<i2").tobytes()
LOUD = np.random.default_rng(0).normal(0, 2000, FRAME // 2).astype("<i2").tobytes()


class Socket:
    """A connection that keeps what goes out, each with the frame tick."""

    def __init__(self) -> None:
        self.tick = 0
        self.sent: list[tuple[int, bytes]] = []
        self.texts: list[tuple[int, str]] = []
        self.say: Callable[[bytes], None]

    def listen(self, *, on_text: Callable[[bytes], None], **_: object) -> None:
        self.say = on_text

    def post_binary(self, data: bytes) -> bool:
        self.sent.append((self.tick, data))
        return True

    def post_text(self, text: str) -> bool:
        self.texts.append((self.tick, text))
        return True


class Listener:
    def media_started(self, media: AgentMedia, now: float) -> None: ...


class Line:
    """A caller, frame by frame, with an agent that hears at 16 kHz."""

    def __init__(self, outgoing: OutgoingAudio | None = None, *, calm_ms: int | None = 160) -> None:
        self.outgoing = outgoing or OutgoingAudio()
        self.socket = Socket()
        self.media = AgentMedia(
            cast(DirectServerConnection, self.socket),
            cast(MediaListener, Listener()),
            call_id="call-1",
            leg_rate=16000,
            outgoing=self.outgoing,
        )
        start: dict[str, Any] = {"caller_rate": 16000, "bot_rate": 16000, "caller_piece_ms": 32}
        self.tell(MediaStart.model_validate(start))
        if calm_ms is not None:
            self.tell(CalmPieces(ms=calm_ms))

    def tell(self, event: Message) -> None:
        self.socket.say(dump(event).encode() if isinstance(dump(event), str) else dump(event))  # type: ignore[arg-type]

    def hear(self, *frames: bytes) -> None:
        for frame in frames:
            self.media.caller_audio(frame)
            self.tick()

    def tick(self) -> None:
        self.socket.tick += 1
        self.outgoing.on_half_tick()

    def take(self) -> list[tuple[int, bytes]]:
        taken, self.socket.sent = self.socket.sent, []
        return taken


def run(story: Callable[[], None]) -> None:
    async def on_a_loop() -> None:
        story()

    asyncio.run(on_a_loop())


def test_pieces_are_longer_while_the_line_is_quiet_and_what_is_loud_is_as_early_as_without() -> None:
    frames = [SOFT] * 200 + [LOUD] * 3 + [SOFT] * 150 + [LOUD] + [SOFT] * 20

    def story() -> None:
        calm, plain = Line(), Line(calm_ms=None)
        calm.hear(*frames)
        plain.hear(*frames)
        waking, always = calm.take(), plain.take()
        heard, whole = b"".join(pcm for _, pcm in waking), b"".join(pcm for _, pcm in always)
        assert whole.startswith(heard)
        assert len(whole) - len(heard) < 160 * 32
        quiet = [tick for tick, _ in waking if 80 < tick <= 200]
        assert len(quiet) == 15, "one in 160 ms"
        assert {len(pcm) for tick, pcm in waking if 90 < tick <= 200} == {5 * PIECE}
        for first, last in ((201, 203), (354, 354)):
            for tick in range(first, last + 1):
                came, comes = (sum(len(pcm) for at, pcm in sent if at <= tick) for sent in (waking, always))
                assert came == comes, "nothing waits when something is loud"

    run(story)


def test_quiet_lines_send_in_the_same_ticks() -> None:
    def story() -> None:
        outgoing = OutgoingAudio()
        lines: list[Line] = []
        for n in range(160):
            if n in (0, 3, 10, 21):
                lines.append(Line(outgoing))
            for line in lines:
                line.media.caller_audio(SOFT)
                line.socket.tick = n
            outgoing.on_half_tick()
        ticks = [{tick for tick, _ in line.take() if tick > 110} for line in lines]
        assert ticks[0]
        assert all(each == ticks[0] for each in ticks)

    run(story)


def test_what_waits_goes_out_before_keys_and_messages_and_when_no_more_audio_comes() -> None:
    def story() -> None:
        line = Line()
        line.hear(*[SOFT] * 98)
        line.take()
        line.media.dtmf("5")
        assert line.take(), "keys stay behind what was said before them"
        line.hear(SOFT, SOFT)
        assert not line.take()
        line.media.data({"is": "read"})
        assert line.take()
        line.hear(SOFT, SOFT)
        for _ in range(8):
            line.tick()
        assert line.take(), "though the caller sends nothing any more"

    run(story)


def test_an_agent_may_ask_for_short_pieces_again() -> None:
    def story() -> None:
        line = Line()
        line.hear(*[SOFT] * 100)
        line.take()
        line.tell(CalmPieces(ms=0))
        line.hear(*[SOFT] * 80)
        assert len(line.take()) >= 49

    run(story)


@pytest.mark.parametrize("ms", [-1, 501])
def test_a_length_that_makes_no_sense_is_refused(ms: int) -> None:
    with pytest.raises(ValueError, match="ms"):
        CalmPieces(ms=ms)
