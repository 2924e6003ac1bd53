"""The caller's end of a simulated call, on a busy machine."""

from __future__ import annotations

import asyncio

import numpy as np

from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.line.line import Line
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
