"""Call workers: what happens in one harms no other, what dies is said and replaced, and nothing is left behind.

With a real gateway and real processes. Only outcomes are asserted; `benchmarks/isolation.py` measures.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core import agent_assignment
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.signaling.messages import InstanceDied
from tests.support.agents import Apart, apart, longest_hole_s
from tests.support.bots import LONG
from tests.support.calls import AGENT_ID, CallLog, eventually

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux"),
]

BOTS = ("-m", "tests.support.harmful_bots")
UVLOOP = """\
import asyncio, runpy, uvloop
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
runpy.run_module("tests.support.harmful_bots", run_name="__main__")
"""
USELESS = """\
import os, runpy
from piopiy_pipeline.agent.forked_worker import ForkedWorker
ForkedWorker.run = lambda _: print("no such library", file=__import__("sys").stderr) or 5
runpy.run_module("tests.support.harmful_bots", run_name="__main__")
"""
IMPATIENT = """\
import runpy
from piopiy_pipeline.agent import hang_watch
hang_watch.HUNG_S = 5.0
runpy.run_module("tests.support.harmful_bots", run_name="__main__")
"""
THREADS = """\
import onnxruntime, threading
from piopiy_pipeline.processors.silero import find_model
session = onnxruntime.InferenceSession(str(find_model()))
threading.Thread(target=threading.Event().wait, name="cache of prices", daemon=True).start()
import runpy
runpy.run_module("tests.support.harmful_bots", run_name="__main__")
"""
TEN_LINES = f"""\
import asyncio, os
from piopiy_pipeline import Agent
from tests.support.bots import voice
greeting = {LONG!r}
async def on_new_session(call):
    await (await voice(call, greeting=greeting)).start()
agent = Agent(os.getenv("AGENT_ID"), os.getenv("AGENT_TOKEN"), on_new_session, isolation="process", workers=1)
asyncio.run(agent.connect())
print('{{"event": "after"}}', flush=True)
"""


@asynccontextmanager
async def isolated(
    monkeypatch: pytest.MonkeyPatch, workers: str, *, arguments: tuple[str, ...] = BOTS, **variables: str
) -> AsyncIterator[Apart]:
    """A gateway, and an agent whose calls are in call workers."""
    for name, value in {"isolation": "process", "workers": workers, **variables}.items():
        monkeypatch.setenv(f"PIOPIY_{name.upper()}", value)
    async with apart(arguments=arguments) as place:
        yield place


def instances(place: Apart) -> list[Instance]:
    return place.gateway.switchboard.instances.of(AGENT_ID)


async def called(
    place: Apart, bot: str, *wavs: str, **metadata: Any
) -> tuple[CallLog, asyncio.Task[CallLog]]:
    """A call that this bot was heard in, or that has ended."""
    log = CallLog(16000)
    calling = asyncio.create_task(
        place.call(*wavs, log=log, metadata={"bot": bot, **metadata}, hangup_after_s=3.0)
    )
    await eventually(lambda: log.heard.size > 0 or calling.done(), 20)
    return log, calling


def tree(pid: int) -> dict[int, list[int]]:
    """Return the processes below one, with the children of each."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        own = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        own = []
    return {pid: own} | {key: value for child in own for key, value in tree(child).items()}


def says(place: Apart, what: str) -> bool:
    """Return whether the agent's log has this."""
    return what in place.process.log


def call_workers(place: Apart) -> list[int]:
    """Return the process ids of the call workers: the template's children."""
    ((template,),) = [tree(place.process.process.pid)[place.process.process.pid]]
    return tree(template)[template]


def left_by_calls() -> list[int]:
    """Return the processes that the bot with the harm "fork" has started."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if b"left-by-a-call" in _command(pid)]


def voices(place: Apart) -> dict[int, int]:
    """Return the processes with a voice, and the process that started each."""
    processes = tree(place.process.process.pid)
    return {
        child: parent
        for parent, children in processes.items()
        for child in children
        if b"espeak_worker" in _command(child)
    }


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def exists(pid: int) -> bool:
    """Return whether this process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


HARMS = {
    "segfault": "SIGSEGV",
    "os_exit": "exit code 7",
    "sys_exit": "sys.exit(7) was called",
    "leak": "MB of memory",
    "spin": "",
}
"""What a call does to its process, and what the agent's log says of it. One that spins goes on until it is hung up."""


def test_calls_that_end_or_hold_their_processes_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call", warm=str(len(HARMS) + 1), memory_mb="250") as place:
            await eventually(lambda: sum(one.takes_calls for one in instances(place)) == len(HARMS) + 1, 60)
            other, talking = await called(place, "talks")
            harming = await asyncio.gather(*(called(place, "harms", harm=harm) for harm in HARMS))
            for (harm, why), (_, call) in zip(HARMS.items(), harming, strict=True):
                if why:
                    harmed = await asyncio.wait_for(call, 30)
                    ends = (EndReason.AGENT_LOST, EndReason.CALLER_HANGUP, EndReason.ERROR)
                    assert harmed.reason in ends, harm
                    await eventually(partial(says, place, why), 10)
                else:
                    call.cancel()  # the caller hangs up on a bot that says nothing
                    await asyncio.wait({call})
            await talking
            assert other.reason is EndReason.CALLER_HANGUP
            assert other.texts("bot") == [LONG], "all of it was heard"
            after, calling = await called(place, "talks", text="Hello.")
            await calling
            assert after.texts("bot") == ["Hello."], "and the next caller is served"

    asyncio.run(story())


def test_more_callers_at_once_than_call_workers_wait_are_all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_assignment, "PLACE_S", 30.0)  # a busy machine takes its time for a call worker

    async def story() -> None:
        async with isolated(monkeypatch, "call", warm="2") as place:
            await eventually(lambda: sum(one.takes_calls for one in instances(place)) == 2, 60)
            calls = await asyncio.gather(*(called(place, "talks", text="Hello.") for _ in range(6)))
            await asyncio.gather(*(calling for _, calling in calls))
            assert [log.texts("bot") for log, _ in calls] == [["Hello."]] * 6
            assert {log.reason for log, _ in calls} == {EndReason.CALLER_HANGUP}
            served = {call.instance_id for call in place.ended()}
            assert len(served) == 6, "each by one of its own"

    asyncio.run(story())


def test_a_segmentation_fault_is_reported_with_its_line_and_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call") as place:
            log, calling = await called(place, "harms", harm="segfault")
            await calling
            assert log.reason in (EndReason.AGENT_LOST, EndReason.CALLER_HANGUP)
            call_id = place.ended()[0].call_id
            await eventually(lambda: "in _segfault" in place.process.log.partition("has ended")[2], 10)
            assert f"SIGSEGV, Segmentation fault; it had the calls {call_id}" in place.process.log

    asyncio.run(story())


def test_a_worker_of_several_calls_that_has_too_much_memory_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "1", memory_mb="250") as place:
            log, calling = await called(place, "harms", harm="leak")
            await calling
            assert log.reason in (EndReason.AGENT_LOST, EndReason.CALLER_HANGUP), "it had no checkpoint"
            await eventually(lambda: "and may have 250 (memory_mb); SIGKILL" in place.process.log, 10)
            await eventually(lambda: any(one.takes_calls for one in instances(place)), 20)
            after, calling = await called(place, "talks", text="Hello.")
            await calling
            assert after.texts("bot") == ["Hello."]

    asyncio.run(story())


def test_a_call_that_takes_too_much_memory_and_hangs_is_the_culprit_although_it_has_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call", memory_mb="250", warm="2") as place:
            await eventually(lambda: sum(one.takes_calls for one in instances(place)) >= 2, 30)
            log, calling = await called(place, "harms", harm="hoard", again=True)
            await asyncio.wait_for(calling, 60)
            assert log.reason is EndReason.ERROR
            assert "MB of memory" in place.ended()[0].detail
            killed = re.findall(r"call worker w\d+ .* has ended: it had \d+ MB of memory", place.process.log)
            assert len(killed) <= 2

    asyncio.run(story())


def test_it_is_said_that_a_worker_s_own_watchdog_killed_it_and_because_of_whom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call") as place:
            deaths: list[InstanceDied] = []
            switchboard = place.gateway.switchboard
            take = switchboard.instance_died

            def note(agent_id: str, death: InstanceDied, now: float) -> None:
                deaths.append(death)
                take(agent_id, death, now)

            monkeypatch.setattr(switchboard, "instance_died", note)
            _, calling = await called(place, "harms", harm="spin")
            await calling  # the caller gives up before that
            whose = f"call {place.ended()[0].call_id} has blocked its event loop for 10."
            await eventually(
                lambda: f"has ended: its watchdog killed it, because {whose}" in place.process.log, 90
            )  # ten seconds of a processor's, and not of the wall's
            assert "somebody killed it" not in place.process.log
            assert "its last lines" not in place.process.log
            await eventually(lambda: deaths, 20)
            assert deaths[0].culprit == place.ended()[0].call_id

    asyncio.run(story())


def test_a_worker_whose_interpreter_stands_still_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call", arguments=("-c", IMPATIENT)) as place:
            _, calling = await called(place, "harms", harm="hang")
            await eventually(lambda: "its event loop has not turned for" in place.process.log, 30)
            await eventually(lambda: len(call_workers(place)) == 2, 10)
            await calling
            assert await place.process.terminate() == 0

    asyncio.run(story())


def test_threads_that_a_fork_would_lose_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "1", arguments=("-c", THREADS)) as place:
            assert "start cache of prices in the callback" in place.process.log
            assert "1 onnxruntime sessions have threads" in place.process.log

    asyncio.run(story())


def test_what_a_call_has_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "call") as place:
            log, calling = await called(place, "harms", harm="fork")
            left = left_by_calls()
            assert len(left) == 2
            await calling
            assert log.reason is EndReason.CALLER_HANGUP
            await eventually(lambda: not any(map(exists, left)), 10)

    asyncio.run(story())


def test_all_call_workers_share_one_voice_which_is_started_anew_when_its_host_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("espeakng_loader")

    async def story() -> None:
        async with isolated(monkeypatch, "call") as place:
            calls = await asyncio.gather(*(called(place, "speaks") for _ in range(2)))
            ((_, host),) = voices(place).items()
            os.kill(host, signal.SIGKILL)
            await eventually(lambda: "the process with the models" in place.process.log, 10)
            after, calling = await called(place, "speaks")
            await asyncio.gather(calling, *(calling for _, calling in calls))
            assert all(longest_hole_s(log.heard, log.rate) < 2 for log, _ in calls)
            assert after.texts("bot") == [LONG]
            ((_, other),) = voices(place).items()
            assert other != host
            assert await place.process.terminate() == 0
            assert not exists(other)

    asyncio.run(story())


def test_the_process_with_the_models_is_replaced_when_it_hangs_and_calls_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("espeakng_loader")

    async def story() -> None:
        async with isolated(monkeypatch, "call") as place:
            before, calling = await called(place, "speaks")
            ((_, host),) = voices(place).items()
            os.kill(host, signal.SIGSTOP)
            after, calling_after = await called(place, "speaks")
            await asyncio.gather(calling, calling_after)
            assert before.texts("bot") == after.texts("bot") == [LONG]
            assert "its event loop has not turned for" in place.process.log
            ((_, other),) = voices(place).items()
            assert other != host
            assert await place.process.terminate() == 0

    asyncio.run(story())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_killed_worker_s_call_goes_on_in_another_and_a_new_one_takes_its_place(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    arguments = ("-c", UVLOOP) if loop == "uvloop" else BOTS

    async def story() -> None:
        async with isolated(monkeypatch, "2", arguments=arguments) as place:
            await eventually(lambda: len(instances(place)) == 2, 20)
            assert sum(one.capacity for one in instances(place)) == 20
            log, calling = await called(place, "answers_at_length", "booking/03-yes.wav")
            await eventually(lambda: log.of("turn"), 20)  # the answer has begun
            (busy,) = [one.instance_id for one in instances(place) if one.calls]
            before = {one.instance_id for one in instances(place)}
            number = int(busy.rpartition("-w")[2])
            os.kill(sorted(call_workers(place))[number - 1], signal.SIGKILL)
            await calling
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.texts("bot") == ["Hello.", LONG]
            await eventually(lambda: len(instances(place)) == 2, 20)
            assert {one.instance_id for one in instances(place)} - before, "a new one"
            assert f"call worker w{number} (process" in place.process.log
            assert "SIGKILL, Killed: somebody killed it" in place.process.log
            assert await place.process.terminate() == 0

    asyncio.run(story())


def test_the_ten_line_style_needs_no_main_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with isolated(monkeypatch, "1", arguments=("-c", TEN_LINES)) as place:
            log, calling = await called(place, "")
            await calling
            assert log.texts("bot") == [LONG]
            assert await place.process.terminate() == 0
            await place.process.close()
            assert place.process.printed == [{"event": "after"}], "once, in the author's process"

    asyncio.run(story())
