"""How an agent whose calls have processes of their own ends: by a signal, killed, or because it cannot go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from piopiy_pipeline.call import EndReason
from tests.agent.test_isolated_agent import (
    BOTS,
    USELESS,
    call_workers,
    called,
    exists,
    instances,
    isolated,
    tree,
)
from tests.support.agents import AgentProcess, logged
from tests.support.calls import CallLog, eventually

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux"),
]


def test_sigterm_lets_calls_end_and_a_second_one_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "2") as place:
            await eventually(lambda: len(instances(place)) == 2, 20)
            log, calling = await called(place, "talks")
            workers = call_workers(place)
            for pid in (place.process.process.pid, *workers):  # a process manager sends it to all
                os.kill(pid, signal.SIGTERM)
            await eventually(lambda: len(instances(place)) == 1, 10)
            heard = log.heard.size
            await eventually(lambda: log.heard.size > heard + 16000, 10)
            assert log.outcome is None, "the call goes on"
            assert await place.process.terminate() == 0
            await calling
            assert log.reason is EndReason.SHUTDOWN
            assert not any(map(exists, workers))

    asyncio.run(story())


@pytest.mark.parametrize("bot", ["talks", "harms"])
def test_no_process_outlives_a_supervisor_that_is_killed(bot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "2") as place:
            await eventually(lambda: len(instances(place)) == 2, 20)
            _, calling = await called(place, bot, harm="spin")
            pids = list(tree(place.process.process.pid))
            assert len(pids) == 4
            place.process.kill()
            await eventually(lambda: not any(map(exists, pids)), 20)
            calling.cancel()
            await asyncio.wait({calling})

    asyncio.run(story())


def test_calls_of_a_supervisor_that_is_killed_move_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "1") as place:
            await eventually(lambda: len(instances(place)) == 1, 20)
            log = CallLog(16000)
            calling = asyncio.create_task(
                place.call(log=log, metadata={"bot": "talks", "text": "Hello."}, hangup_after_s=60.0)
            )
            await eventually(lambda: log.texts("bot") == ["Hello."], 20)
            monkeypatch.setenv("PIOPIY_ISOLATION", "task")
            other = await AgentProcess.start(place.gateway.url, arguments=BOTS)
            await eventually(lambda: len(instances(place)) == 2, 20)
            (call,) = place.gateway.switchboard.snapshot().calls
            with logged() as lines:
                place.process.kill()
                await eventually(
                    lambda: place.gateway.switchboard.snapshot().calls[0].instance_id != call.instance_id, 10
                )
            assert any("moved from instance" in line for _, line in lines), "not given back, in mid-sentence"
            calling.cancel()
            await asyncio.wait({calling})
            await other.close()

    asyncio.run(story())


def test_a_template_that_is_killed_ends_the_agent_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "2") as place:
            await eventually(lambda: len(instances(place)) == 2, 20)
            (template,) = tree(place.process.process.pid)[place.process.process.pid]
            workers = call_workers(place)
            os.kill(template, signal.SIGKILL)
            assert await asyncio.wait_for(place.process.process.wait(), 30) == 1
            await place.process.close()
            assert "the process that forks call workers has ended" in place.process.log
            await eventually(lambda: not any(map(exists, workers)), 10)

    asyncio.run(story())


def test_workers_that_die_at_once_again_and_again_end_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call", warm="1") as place:
            process = await AgentProcess.start(place.gateway.url, arguments=("-c", USELESS))
            assert await asyncio.wait_for(process.process.wait(), 60) == 1
            await process.close()
            assert "5 call workers in a row have ended before they were of use" in process.log
            assert "| no such library" in process.log

    asyncio.run(story())


def test_a_wrong_token_ends_the_agent_with_the_gateway_s_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "2") as place:
            process = await AgentProcess.start(place.gateway.url, arguments=BOTS, token="wrong")
            assert await asyncio.wait_for(process.process.wait(), 60) == 1
            await process.close()
            assert "AuthenticationError: " in process.log
            assert "the gateway refuses agent 'test-agent'" in process.log

    asyncio.run(story())
