"""The caller's end of a simulated call, on a busy machine."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from piopiy_pipeline.audio.speech import SpeechBounds
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.line.impairment import Impairment
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.utterance_audio import Recording
from piopiy_pipeline.testing.report.event_log import EventLog


def test_a_late_tick_does_not_have_speech_heard_before_it_came() -> None:
    """The bot's audio comes 2 ms behind the frame tick's own time, and the tick runs 3 ms late and plays it."""
    now = 1.0

    async def call() -> list[str]:
        nonlocal now
        log = EventLog(lambda: now)
        link = CallerLink(16_000, log, seed=0, line=Line(), on_answer=lambda: None, on_hangup=lambda: None)
        now = 1.002
        link.send_audio(np.full(1600, 1000, np.int16).tobytes())
        log.add("tts_started")
        now = 1.003
        link.on_frame_tick(1.0)
        return [event.kind for event in log.events()]

    assert asyncio.run(call()) == ["tts_started", "bot_audio"]


@pytest.mark.parametrize("how", ["telephone", "hold", "mute"])
def test_what_the_bot_is_not_sent_is_not_transcribed_either(how: str) -> None:
    """The caller says four words in two seconds, and nothing is sent in the third half of a second."""
    now = 0.0

    async def call() -> str:
        nonlocal now
        link = CallerLink(
            16_000, EventLog(lambda: now), seed=0, line=Line(), on_answer=lambda: None, on_hangup=lambda: None
        )
        loud = np.full(32_000, 1000, "<i2").tobytes()
        link.speak(Recording("four words", loud, "a table for four", SpeechBounds(0, 32_000)))
        for n in range(1, 101):
            now = n * 0.02
            apart = 1.0 < now <= 1.5
            link.held, link.deaf = apart and how == "hold", apart and how == "mute"
            if how == "telephone" and n == 51:
                link._muted_until = 1.5
            link.on_frame_tick(now)
        return link.words(0.0, 3.0)

    assert asyncio.run(call()) == "a table four"


def test_a_hold_loses_no_packet_of_a_line_with_a_network() -> None:
    """The caller is on hold for longer than a jitter buffer takes for a pause of the same stream."""
    now = 0.0

    async def call() -> list[str]:
        nonlocal now
        log = EventLog(lambda: now)
        line = Line(to_caller=Impairment(delay_ms=40))
        link = CallerLink(16_000, log, seed=0, line=line, on_answer=lambda: None, on_hangup=lambda: None)
        for n in range(1, 500):
            now = n * 0.02
            link.held = 2.0 < now < 6.0
            link.on_frame_tick(now)
        return [event.kind for event in log.events()]

    assert asyncio.run(call()) == []
