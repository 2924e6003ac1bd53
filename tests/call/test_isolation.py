"""One call goes wrong, and its neighbour notices nothing: an agent in its own process, a caller on each call.

In real time, because one process's loop is blocked for real, and what it holds (descriptors, threads) is counted.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.call import EndReason
from tests.support.agents import Apart, apart, longest_hole_s
from tests.support.bot_kinds import THREE
from tests.support.calls import CallLog, eventually
from tests.support.openai_server import Answer, endpoint

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

UNNOTICED_S = 0.4
"""A blocked loop would be heard for seconds; this much is this machine's own, when it is busy."""


class Neighbour:
    """A caller who listens to a bot in mid-speech, while something goes wrong elsewhere."""

    def __init__(self, place: Apart) -> None:
        self.place = place
        self.log = CallLog(16000)
        self._call = asyncio.create_task(
            place.call(metadata={"bot": "talks"}, hangup_after_s=1.0, log=self.log)
        )

    async def in_mid_speech(self) -> None:
        await eventually(lambda: self.log.heard.size > 8000, 10)

    async def noticed_nothing(self) -> None:
        await self._call
        assert self.log.reason is EndReason.CALLER_HANGUP
        assert self.log.heard.size > 6 * 16000, "the greeting was heard to its end"
        assert longest_hole_s(self.log.heard, 16000) < UNNOTICED_S
        call_id = self.log.of("ringing")[0]["call_id"]
        snapshot = next(call for call in self.place.ended() if call.call_id == call_id)
        assert snapshot.worst_gap_s < UNNOTICED_S


def ended_with(place: Apart, log: CallLog) -> tuple[EndReason | None, str]:
    """How the gateway has recorded a call."""
    call_id = log.of("ringing")[0]["call_id"]
    return next((call.reason, call.detail) for call in place.ended() if call.call_id == call_id)


FAILS = {"raises": "no such customer", "raises_later": "no such order", "returns": "without starting"}


def test_a_callback_that_fails_or_a_caller_who_leaves_ends_one_call_with_its_reason() -> None:
    async def scenario() -> None:
        async with apart() as place:
            neighbour = Neighbour(place)
            await neighbour.in_mid_speech()
            hang_up, leaver = asyncio.Event(), CallLog(16000)
            leaving = asyncio.create_task(place.call(metadata={"bot": "talks"}, hang_up=hang_up, log=leaver))
            logs = await asyncio.gather(*(place.call(metadata={"bot": bot}) for bot in FAILS))
            for log, said in zip(logs, FAILS.values(), strict=True):
                assert log.reason is EndReason.ERROR
                reason, detail = ended_with(place, log)
                assert reason is EndReason.ERROR
                assert said in detail
                await in_the_log(place, log, "call ended: error", said)
            await eventually(lambda: leaver.heard.size > 4000, 10)
            hang_up.set()
            await leaving
            assert ended_with(place, leaver) == (EndReason.CALLER_HANGUP, "")
            await in_the_log(place, leaver, "call ended: caller_hangup")
            await neighbour.noticed_nothing()

    asyncio.run(scenario())


def logged(place: Apart, log: CallLog) -> list[str]:
    """What the agent has logged with the call's id."""
    call_id = log.of("ringing")[0]["call_id"]
    return [line for line in place.process.log.splitlines() if call_id in line]


async def in_the_log(place: Apart, log: CallLog, *words: str) -> None:
    """The agent has logged this, with the call's id."""
    try:
        await eventually(lambda: any(all(word in line for word in words) for line in logged(place, log)), 10)
    except AssertionError:
        raise AssertionError(f"no {words} in the agent's log\n{told_of(place, log)}") from None


def told_of(place: Apart, log: CallLog) -> str:
    """What is known of a call at both ends, for whoever reads why a test has failed."""
    noticed = [f"{report.at:8.3f} {report.event} {report.data}" for report in log.reports]
    loud = np.flatnonzero(np.abs(log.heard.astype(np.int32)) > 500) / log.rate
    heard = f"from {loud[0]:.2f} to {loud[-1]:.2f} s" if loud.size else "never"
    lines = logged(place, log)
    shown = lines if len(lines) <= 30 else [*lines[:15], f"... {len(lines) - 30} more ...", *lines[-15:]]
    parts = ["the caller:", *noticed, f"the bot was heard: {heard}", f"outcome: {log.outcome}"]
    return "\n".join([*parts, "the agent's log:", *shown])


def test_a_constructor_that_blocks_the_loop_for_three_seconds_is_not_heard_on_another_call() -> None:
    async def scenario() -> None:
        async with apart() as place:
            neighbour = Neighbour(place)
            await neighbour.in_mid_speech()
            log = await place.call(metadata={"bot": "blocks", "seconds": 3.0})
            assert log.reason is EndReason.AGENT_HANGUP, "the call that was late goes on all the same"
            assert ended_with(place, log)[0] is EndReason.AGENT_HANGUP
            await neighbour.noticed_nothing()

    asyncio.run(scenario())


ENDS = {
    **dict.fromkeys(
        ("raises", "raises_later", "returns", "llm_fails", "openai", "tts_fails"), EndReason.ERROR
    ),
    "errors_in_a_loop": EndReason.ERROR,
    **dict.fromkeys(("swallows_end", "cleanup_hangs"), EndReason.AGENT_HANGUP),
    **dict.fromkeys(("swallows_cancel", "tool_hangs"), EndReason.IDLE_TIMEOUT),
    "talks": EndReason.CALLER_HANGUP,
}
"""How a call to each of these bots ends."""
OF_THREE = {"openai", "tts_fails"}
"""Bots whose services are not scripted, or of which one of three fails."""


def test_after_fifty_calls_that_went_wrong_the_agent_holds_what_it_held_before(either_bot: str) -> None:
    bots = [bot for bot in ENDS if either_bot == THREE or bot not in OF_THREE]

    async def wrong(place: Apart, bot: str, url: str, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            hang_up = asyncio.Event()
            log = CallLog(16000)
            call = asyncio.create_task(
                place.call(
                    metadata={"bot": bot, "url": url}, hang_up=hang_up, log=log, hangup_after_s=30, limit_s=40
                )
            )
            if bot == "talks":  # and the caller hangs up in mid-sentence
                await eventually(lambda: log.heard.size > 4000, 20)
                hang_up.set()
            await call
            assert log.reason is ENDS[bot], f"{bot}\n{told_of(place, log)}"
            assert ended_with(place, log)[0] is ENDS[bot], f"{bot}: on the record as the caller heard it"
            await in_the_log(place, log, f"call ended: {ENDS[bot].value}")

    async def settled(place: Apart) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 20
        while (census := await place.process.census())["calls"] or census["vad_streams"]:
            assert loop.time() < deadline, f"calls are not taken down: {census}"
            await asyncio.sleep(0.1)
        return census

    async def scenario() -> None:
        async with endpoint(Answer("busy")) as server, apart(capacity=60) as place:
            at_once = asyncio.Semaphore(16)
            await asyncio.gather(*(wrong(place, bot, server.url, at_once) for bot in bots))
            before = await settled(place)
            await asyncio.gather(*(wrong(place, bot, server.url, at_once) for bot in (bots * 5)[:50]))
            after = await settled(place)
            assert len(after["tasks"]) <= len(before["tasks"]), after["tasks"]
            assert len(after["threads"]) <= len(before["threads"]), after["threads"]
            assert after["fds"] <= before["fds"]

    asyncio.run(scenario())
