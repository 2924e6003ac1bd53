"""SIGTERM to an agent: its process ends within a bound, whatever its author's code does, and calls go elsewhere."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from piopiy_pipeline.call import EndReason
from tests.support.agents import AgentProcess, Apart, apart
from tests.support.bots import LONG
from tests.support.calls import AGENT_ID, CallLog, eventually

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM"),
]

PROGRAM = """\
import runpy
from piopiy_pipeline.agent import exit_guard
exit_guard.HEARD_S, exit_guard.EXIT_S = 1.0, 1.0
if {uvloop}:
    import asyncio, uvloop
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
runpy.run_module("tests.support.bots", run_name="__main__")
"""


def program(loop: str) -> tuple[str, str]:
    """The bots of `tests.support.bots` with short limits."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    return "-c", PROGRAM.format(uvloop=loop == "uvloop")


async def begun(place: Apart, bot: str, **options: str) -> tuple[CallLog, asyncio.Task[CallLog]]:
    """A call that was answered by this bot."""
    log = CallLog(16000)
    calling = asyncio.create_task(place.call(log=log, metadata={"bot": bot, **options}))
    await eventually(lambda: log.heard.size > 0, 20)
    return log, calling


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("bot", "culprit"),
    [
        ("swallows_cancel_for_ever", "bots.py"),
        ("thread_for_ever", "in _work_for_ever"),
        ("blocks", "SlowModel"),
    ],
)
def test_code_that_does_not_end_is_named_and_ended(loop: str, bot: str, culprit: str) -> None:
    async def story() -> None:
        async with apart(arguments=program(loop)) as place:
            log = CallLog(16000)
            calling = asyncio.create_task(place.call(log=log, metadata={"bot": bot, "seconds": 60}))
            await eventually(lambda: bool(place.gateway.switchboard.instances.of(AGENT_ID)[0].calls), 20)
            if bot != "blocks":
                await eventually(lambda: log.heard.size > 0, 20)
            process = place.process.process
            process.send_signal(signal.SIGTERM)
            if bot != "blocks":
                await eventually(lambda: place.gateway.switchboard.instances.of(AGENT_ID)[0].draining, 30)
                process.send_signal(signal.SIGTERM)
            status = await asyncio.wait_for(process.wait(), 45)
            await calling
            await place.process.close()
            assert status == 1, place.process.log[-3000:]
            assert "the agent is ended by force after SIGTERM, because" in place.process.log
            assert culprit in place.process.log.partition("ended by force")[2]

    asyncio.run(story())


def test_an_agent_whose_code_ends_is_not_ended_by_force() -> None:
    async def story() -> None:
        async with apart(arguments=program("asyncio")) as place:
            log, calling = await begun(place, "talks")
            place.process.process.send_signal(signal.SIGTERM)
            await eventually(lambda: place.gateway.switchboard.instances.of(AGENT_ID)[0].draining, 30)
            heard = log.heard.size
            await eventually(lambda: log.heard.size > heard + 16000, 10)
            assert log.outcome is None, "the first SIGTERM lets the call go on, without a limit"
            assert await place.process.terminate() == 0
            await calling
            assert log.reason is EndReason.SHUTDOWN, "and nobody else could take it"
            await place.process.close()
            assert "by force" not in place.process.log

    asyncio.run(story())


def test_a_second_sigterm_moves_the_calls_to_another_agent() -> None:
    async def story() -> None:
        async with apart() as place:
            instances = place.gateway.switchboard.instances
            (first,) = instances.of(AGENT_ID)
            other = await AgentProcess.start(place.gateway.url)
            try:
                # Both are there before the call, and the bot has more to say than any machine takes for this.
                await eventually(lambda: len(instances.of(AGENT_ID)) == 2, 60)
                log, calling = await begun(place, "talks", text=f"{LONG} " * 20)
                leaving = place.process if first.calls else other
                leaving.process.send_signal(signal.SIGTERM)
                await eventually(lambda: any(one.draining for one in instances.of(AGENT_ID)), 30)
                assert await leaving.terminate() == 0
                (left,) = instances.of(AGENT_ID)
                assert len(left.calls) == 1
                heard = log.heard.size
                await eventually(lambda: log.heard.size > heard + 16000, 30)
                assert log.outcome is None, "the caller is still on the line"
            finally:
                await other.close()
            calling.cancel()
            await asyncio.wait({calling})

    asyncio.run(story())


TWO_AGENTS = """\
import asyncio, os, signal
from piopiy_pipeline.agent import exit_guard
from piopiy_pipeline.agent.agent import Agent

exit_guard.EXIT_S = 0.3

async def bot(call_id): ...

async def serve_one_more_call(guarded):
    signalled = asyncio.Event()
    guard = exit_guard.guard_exit(asyncio.get_running_loop(), signalled.set)
    guarded.set()
    await signalled.wait()
    await asyncio.sleep(5 * exit_guard.EXIT_S)  # its last call goes on
    guard.closing(signalled.set)
    guard.close(signalled.set)
    print("its call has ended", flush=True)

async def main():
    guarded = asyncio.Event()
    agents = [Agent(name, "token", bot, "ws://127.0.0.1:9") for name in ("sales", "billing")]
    serving = [asyncio.create_task(serve_one_more_call(guarded)) for _ in "x" if {calls}]
    serving += [asyncio.create_task(agent.connect()) for agent in agents]
    while not all(agent._connection._gateway_missing for agent in agents):
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.gather(*serving)
    print("all have ended", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("calls", [False, True])
def test_all_agents_of_a_program_hear_of_a_sigterm_and_the_last_call_of_all_is_waited_for(
    calls: bool,
) -> None:
    async def story() -> None:
        program = TWO_AGENTS.format(calls=calls)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, log = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, log.decode()[-3000:]
        expected = ["its call has ended"] * calls + ["all have ended"]
        assert out.decode().splitlines() == expected

    asyncio.run(story())
