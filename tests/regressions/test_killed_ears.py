"""A recogniser that is killed with signal 9 while a caller speaks costs that sentence at most, and never the call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples import front_desk
from piopiy_pipeline.services.providers import prepare
from piopiy_pipeline.services.stt.moonshine import moonshine_pool
from tests.support.calls import CallLog, House, eventually, house

pytestmark = pytest.mark.realtime
"""A process is killed by the clock of the wall."""


@asynccontextmanager
async def restaurant(monkeypatch: pytest.MonkeyPatch, bookings: Path) -> AsyncIterator[House]:
    for key in ("OPENAI_API_KEY", "LLM_BASE_URL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(front_desk, "BOOKINGS", bookings)
    await prepare(playbook=front_desk.PLAYBOOK)
    async with house(front_desk.on_new_session) as place:
        yield place


def kill_ears() -> int:
    """Kill every process that hears, and return how many there were."""
    running = [worker.pid for worker in moonshine_pool().workers if worker.pid is not None]
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return len(running)


async def kill_until(over: Callable[[], object], limit_s: float = 20.0) -> None:
    """Kill whatever hears, again and again, so that nothing of what is said meanwhile is understood."""
    async with asyncio.timeout(limit_s):
        while not over():
            kill_ears()
            await asyncio.sleep(0.02)


def booked(path: Path) -> dict[str, object]:
    (line,) = path.read_text().splitlines()
    booking: dict[str, object] = json.loads(line)
    return {key: booking[key] for key in ("people", "day", "time")}


FRIDAY = {"people": 4, "day": "Friday", "time": "19:00"}
BOOKING = ("booking/01-people.wav", "booking/02-when.wav", "booking/03-yes.wav", "booking/04-goodbye.wav")


def test_one_that_is_killed_in_mid_sentence_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> CallLog:
        log = CallLog(16_000)
        async with restaurant(monkeypatch, tmp_path / "bookings.jsonl") as place:
            calling = asyncio.create_task(place.call(*BOOKING, hangup_after_s=10, limit_s=90, log=log))
            await eventually(lambda: len(log.texts("bot")) == 2, 30)  # "Which day would you like to come?"
            await asyncio.sleep(1.5)  # the caller has begun to answer
            assert kill_ears()
            await calling
        return log

    log = asyncio.run(story())
    assert booked(tmp_path / "bookings.jsonl") == FRIDAY
    assert log.reason.value == "agent_hangup"


def test_a_sentence_that_nobody_can_hear_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> CallLog:
        log = CallLog(16_000)
        async with restaurant(monkeypatch, tmp_path / "bookings.jsonl") as place:
            wavs = (BOOKING[0], *BOOKING)
            calling = asyncio.create_task(place.call(*wavs, hangup_after_s=10, limit_s=120, log=log))
            await eventually(lambda: log.texts("bot"), 30)
            await kill_until(lambda: log.of("error"))
            await calling
        return log

    log = asyncio.run(story())
    order = [
        report.event
        for report in log.reports
        if report.event in ("bot", "error", "user")
        and "a final transcript came" not in report.data.get("message", "")  # late, on a machine that is busy
    ]
    assert order[:4] == ["bot", "error", "user", "bot"], "an apology was heard, and the sentence said again"
    assert len(log.texts("user")) == len(BOOKING)
    assert booked(tmp_path / "bookings.jsonl") == FRIDAY
    assert log.reason.value == "agent_hangup"
