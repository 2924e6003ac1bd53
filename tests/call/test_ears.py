"""The ears in whole calls: a worker that dies, noises between words, two callers at once. In virtual time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import Worker
from piopiy_pipeline.testing import Caller, CallerLine, simulate, simulate_many
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("piopiy_pipeline.services.stt.moonshine_worker", name="ears", size=1)
    yield pool
    pool.close()


class HearingBot:
    """A bot with real ears that answers whatever it hears."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.results: list[Any] = []

    async def __call__(self, call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", error_line="Sorry, could you say that again?")
        stt = MoonshineSTTService(pool=self._pool)
        await agent.Action(stt=stt, llm=ScriptedLLM(["For how many?", "Done.", "Bye."]), tts=ToneTTS())
        await agent.start()


class _Deadly:
    """Audio of which a worker dies as soon as it has read the request. One that is killed from outside may be dead
    before it gets the request, and then another one answers it.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return signal.raise_signal, (signal.SIGKILL,)


def _kill(worker: Worker) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def test_the_worker_dies_in_mid_utterance_and_nobody_notices(pool: WorkerPool) -> None:
    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE, wait=False)
        await line.pause(1.5)
        _kill(pool.workers[0])
        await line.heard()
        await line.say(YES)
        await line.heard()

    call = simulate(HearingBot(pool), caller)
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "user") == ["I would like to book a table for four people.", "Yes, please."]
    assert texts(call, "bot") == ["For how many?", "Done."]
    assert not call.of("error")


def test_the_worker_hangs_in_mid_utterance_and_nobody_notices(pool: WorkerPool) -> None:
    """What it is asked then is more than its pipe holds, so it cannot even be written."""

    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE, wait=False)
        await line.pause(1.5)
        pid = pool.workers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await line.heard()
        await line.say(YES)
        await line.heard()

    call = simulate(HearingBot(pool), caller)
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "user") == ["I would like to book a table for four people.", "Yes, please."]
    assert not call.of("error")


def test_an_utterance_that_kills_every_worker_is_apologised_for_and_the_call_goes_on(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = 0
    ask = Worker.request

    def request(worker: Worker, method: str, *args: Any) -> Any:
        nonlocal deadly
        if method == "hear" and deadly:
            deadly -= 1
            ask(worker, "load", "en")
            args = (_Deadly(), *args[1:])
        return ask(worker, method, *args)

    async def caller(line: CallerLine) -> None:
        nonlocal deadly
        deadly = 1_000
        await line.say(PEOPLE)
        await line.heard()
        deadly = 0
        await line.pause(4.0)
        await line.say(YES)
        await line.heard()

    monkeypatch.setattr(Worker, "request", request)
    call = simulate(HearingBot(pool), caller)
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert [error.data["stage"] for error in call.of("error")] == ["stt"]
    said = [str(event.data["text"]) for event in call.of("llm_text")]
    assert said == ["Sorry, could you say that again?", "For how many?"]  # the second to what was said again
    assert texts(call, "user") == ["Yes, please."]


def test_a_noise_is_no_turn(pool: WorkerPool) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(8_000) / 16_000
    cough = (rng.normal(0, 4_000, len(t)) * np.exp(-t / 0.1)).astype(np.int16)
    call = simulate(HearingBot(pool), Caller().say(cough, text="").pause(3.0).say(YES))
    assert texts(call, "user") == ["Yes, please."]


def test_two_callers_at_once_are_both_heard(pool: WorkerPool) -> None:
    calls = simulate_many(HearingBot(pool), [Caller().say(PEOPLE), Caller().say(YES)])
    assert sorted(texts(call, "user")[0] for call in calls) == [
        "I would like to book a table for four people.",
        "Yes, please.",
    ]
