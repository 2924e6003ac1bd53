"""Providers of speech-to-speech fail at any moment, and nobody waits in silence for long. In virtual time.

Each seed is a call of two turns to each provider. ``REALTIME_SEEDS=50`` runs so many; a few are part of the suite.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import (
    CallerLine,
    Disconnects,
    Refused,
    Replies,
    SimulatedCall,
    SlowStart,
    Stalls,
    TimesOut,
    Tool,
    Voice,
)
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import LONG, Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.virtual import PEOPLE, YES

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore:`LLMContext:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of Nova Sonic's service
]

SEEDS = int(os.environ.get("REALTIME_SEEDS", "2"))
LONGEST_S = 14.0
"""A caller hears something within so many seconds: an answer that hangs is given up after 10, and is apologised for."""
ASKED_AT = (4.0, 20.0)
ENDS_AT = 45.0

Upset = Callable[[Any], Awaitable[None]]


async def drops(session: Any) -> None:
    session.drop()


async def closes(session: Any) -> None:
    await session.close(1011, "scripted")


def sends_late(by_s: float) -> Upset:
    """Have a session send nothing for so many seconds, and then go on."""

    async def late(session: Any) -> None:
        send, until = session.send, asyncio.get_running_loop().time() + by_s

        async def sent(*given: Any, **options: Any) -> None:
            await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
            await send(*given, **options)

        session.send = sent

    return late


def reply_faults(rng: Random) -> dict[int, Fault]:
    """What is wrong with the model's answers, by their numbers."""
    kinds: list[Fault] = [
        Stalls(), Stalls(0.5), Disconnects(0.3), SlowStart(by_s=rng.uniform(1, 6)), TimesOut(after_s=2), Refused(503),
    ]  # fmt: skip
    return {number: rng.choice(kinds) for number in (1, 2, 3) if rng.random() < 0.3}


def called(kind: type[Case], rng: Random) -> SimulatedCall:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        await asyncio.sleep(book_s)
        await params.result_callback({"booked": True})

    def watch(agent: VoiceAgent) -> None:
        async def upset(_: object) -> None:
            for after_s, how in upsets:
                await asyncio.sleep(after_s)
                if case.server.sessions:
                    await how(case.server.session)

        agent.on("answered", upset)

    async def caller(line: CallerLine) -> None:
        for at, words in zip(ASKED_AT, (PEOPLE, YES), strict=True):
            await line.at(at + rng.uniform(-1, 1))
            await line.say(words)
        await line.at(ENDS_AT)

    book_s = rng.choice((0.0, 0.5, 3.0))
    ways: list[Upset] = [drops, closes, sends_late(rng.uniform(1, 6))]
    upsets = [(rng.uniform(0.2, 12), rng.choice(ways)) for _ in range(rng.choice((0, 1, 1, 2)))]
    script: list[Any] = [
        [Tool("book"), "It is booked."] if rng.random() < 0.4 else LONG,
        "Until then.",
        "As you like.",
    ]
    case = kind(texts=["a table please", "yes"] * 5, voice=Voice(speed=rng.choice((None, 1.2, 2.0))))
    model = case.server.model
    faults, latency = reply_faults(rng), rng.uniform(0, 1.5)
    replies = Replies(*script, otherwise="I see.", faults=faults, latency=latency)
    model.__init__(replies, voice=model.voice, ears=model.ears)
    return case.call(caller, agent={"tools": [book]}, watch=watch)


@pytest.mark.parametrize("seed", range(2, 2 + SEEDS))
@pytest.mark.parametrize("name", PROVIDERS)
def test_nobody_waits_in_silence_whatever_fails(name: str, seed: int, log_lines: list[str]) -> None:
    call = called(PROVIDERS[name](), Random(f"{name} {seed}"))
    assert call.end_reason in (EndReason.CALLER_HANGUP, EndReason.ERROR), call.timeline()
    heard = [event.at for event in call.events if event.kind in ("bot_turn", "bot_stopped", "error")]
    for speech in call.of("user_speech"):
        end = speech.data["end"]
        soon = any(end < at < end + LONGEST_S for at in heard)
        assert soon or call.duration_s < end + LONGEST_S, f"{end}\n{call.timeline()}"
    assert not [line for line in log_lines if "Traceback" in line]
