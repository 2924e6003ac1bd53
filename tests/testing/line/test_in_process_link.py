"""The 20 ms of a line within one process, which simulations and replays share."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.signaling.media_events import (
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    MediaStop,
    Played,
)
from piopiy_pipeline.testing import run_virtual
from piopiy_pipeline.testing.line.in_process_link import InProcessLink

RATE = 8000
FRAME = bytes([1, 0]) * (frame_bytes(RATE) // 2)


class Link(InProcessLink):
    """Plays the bot's speech, and notes what happens."""

    def __init__(self) -> None:
        super().__init__(caller_rate=RATE, bot_rate=RATE)
        self.times: list[float] = []
        self.played: list[bytes | None] = []
        self.notes: list[object] = []

    def on_frame_tick(self, now: float) -> None:
        self.times.append(now - self.start)
        self.played.append(self.play(now))

    def on_bot_plays(self, now: float) -> None:
        self.notes.append("plays")

    def on_bot_ran_dry(self, now: float) -> None:
        self.notes.append("dry")

    def on_clear(self) -> None:
        self.notes.append(("clear", self.playout.buffered_s))

    def on_agent_event(self, event: Dtmf | DataMessage) -> None:
        self.notes.append(event)

    def on_closed(self) -> None:
        self.notes.append("closed")


class Bot:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[GatewayMediaEvent] = []

    def on_audio(self, pcm: bytes) -> None: ...

    def on_event(self, event: GatewayMediaEvent) -> None:
        self.events.append(event)

    def on_lost(self) -> None: ...


def run(*, frames: int, speech: int = 0, clear_after: int | None = None) -> tuple[Link, Bot]:
    """Let so many frames pass, with so many frames of speech sent at the beginning."""

    async def scenario() -> tuple[Link, Bot]:
        link, bot = Link(), Bot()
        link.attach(bot)
        link.send_audio(FRAME * speech)
        if clear_after is not None:
            await asyncio.sleep((clear_after + 0.5) * FRAME_S)
            link.send_event(Clear(epoch=1))
        await asyncio.sleep(link.start + (frames + 0.5) * FRAME_S - asyncio.get_running_loop().time())
        await link.close()
        await link.close()
        await asyncio.sleep(1)
        return link, bot

    return run_virtual(scenario, limit_s=60)


def test_a_frame_passes_every_20_ms_until_the_call_is_closed() -> None:
    link, _ = run(frames=50)
    assert link.times == pytest.approx([FRAME_S * n for n in range(1, 51)])
    assert link.ticks == 50
    assert link.notes == ["closed"], "once, although it was closed twice"


def test_speech_leaves_a_frame_at_a_time_and_the_bot_is_told_how_far_it_is() -> None:
    link, bot = run(frames=5, speech=2)
    assert link.played == [FRAME, FRAME, None, None, None]
    assert link.notes == ["plays", "plays", "dry", "closed"]
    assert bot.events == [
        Played(epoch=0, position=160),
        Played(epoch=0, position=320, dry=True),
    ]


def test_an_interruption_drops_what_was_not_played_and_is_answered() -> None:
    link, bot = run(frames=6, speech=20, clear_after=3)
    assert link.played == [FRAME] * 3 + [None] * 3
    assert ("clear", pytest.approx(17 * FRAME_S)) in link.notes
    assert bot.events[-1] == Cleared(epoch=1, position=3 * 160)


def test_what_the_bot_sends_reaches_the_other_end_and_nothing_does_after_the_end() -> None:
    async def scenario() -> tuple[Link, Bot]:
        link, bot = Link(), Bot()
        link.attach(bot)
        link.send_event(Dtmf(digits="5"))
        link.send_event(DataMessage(data={"a": 1}))
        link.send_event(MediaStop())
        link.send_audio(FRAME)
        link.tell(Dtmf(digits="1"))
        await asyncio.sleep(1)
        return link, bot

    link, bot = run_virtual(scenario, limit_s=60)
    assert link.notes == [Dtmf(digits="5"), DataMessage(data={"a": 1}), "closed"]
    assert link.closed
    assert link.ticks == 0
    assert bot.events == []
