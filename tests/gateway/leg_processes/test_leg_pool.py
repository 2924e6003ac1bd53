"""The pool of leg processes, with real ones: places, how many processes there are, and what becomes of a lost one.

They run against the wall clock, which is the only one that another process knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.leg_processes import leg_pool
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace, LegPool, NoPlace
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor, ProcessKind
from piopiy_pipeline.signaling.messages import Message
from tests.gateway.leg_processes.echo_program import Begin, Finish, parse_from
from tests.support.agents import logged
from tests.support.browser_peer import until

pytestmark = pytest.mark.realtime

KIND = ProcessKind(
    name="echo", module="tests.gateway.leg_processes.echo_program", settings=Begin(), parse=parse_from
)
WAIT_S = 20.0


class EchoLeg:
    """Notes what its place tells it."""

    def __init__(self, place: LegPlace) -> None:
        self.call_id = f"call-{place.number}"
        self.place = place
        self.events: list[Message] = []
        self.heard = b""
        self.losses = 0
        self.failures: list[str] = []
        place.leg = self
        place.post(Begin())

    def on_event(self, event: Message) -> None:
        match event:
            case Finish():
                raise RuntimeError("a test's")
            case _:
                logger.info("it has begun")
                self.events.append(event)

    def caller_audio(self, pcm: bytes) -> None:
        self.heard += pcm

    def process_lost(self) -> None:
        logger.warning("its process is lost")
        self.losses += 1

    def fail(self, reason: EndReason, detail: str) -> None:
        self.failures.append(detail)

    @property
    def process(self) -> LegSupervisor:
        process = vars(self.place)["_process"]
        assert process is not None
        supervisor = process.supervisor
        assert isinstance(supervisor, LegSupervisor)
        return supervisor


@asynccontextmanager
async def pool(
    *, processes: int, most: int | None = None, places: int | None = None
) -> AsyncIterator[LegPool]:
    made = LegPool(KIND, processes=processes, most=most, places=places)
    made.start()
    try:
        await until(lambda: all(one.ready for one in made.supervisors), WAIT_S)
        yield made
    finally:
        await made.close()
        await made.close()
        with pytest.raises(NoPlace, match="closed"):
            await made.place(WAIT_S)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def take(made: LegPool) -> EchoLeg:
    leg = EchoLeg(await made.place(WAIT_S))
    await until(lambda: leg.events)
    return leg


async def finish(leg: EchoLeg) -> None:
    leg.place.post(Finish())
    await until(lambda: leg.failures)
    leg.place.release()


async def refused(made: LegPool) -> str:
    with pytest.raises(NoPlace) as raised:
        await made.place(0.05)
    return str(raised.value)


def test_a_process_that_never_starts_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start = LegSupervisor._start

    def started(supervisor: LegSupervisor, stdin: socket.socket) -> subprocess.Popen[bytes]:
        if supervisor.name.endswith("1"):
            raise OSError("a test's")
        return start(supervisor, stdin)

    monkeypatch.setattr(LegSupervisor, "_start", started)

    async def story() -> None:
        made = LegPool(KIND, processes=2)
        made.start()
        try:
            await asyncio.wait_for(made.ready(), WAIT_S)
            assert [one.ready for one in made.supervisors] == [False, True]
            await take(made)
        finally:
            await made.close()

    asyncio.run(story())


def test_legs_are_spread_and_a_lost_process_takes_only_its_own_along() -> None:
    async def story() -> None:
        async with pool(processes=2) as made:
            legs = [await take(made) for _ in range(6)]
            first = [leg for leg in legs if leg.process is made.supervisors[0]]
            assert len(first) == 3
            others = [leg for leg in legs if leg not in first]
            pid = made.supervisors[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: first[0].losses)
            assert [leg.losses for leg in first] == [1, 1, 1]
            assert [leg.losses for leg in others] == [0, 0, 0]
            for leg in first:
                leg.place.send_audio(b"\1\1")  # to nobody
                leg.place.post(Begin())
                leg.place.release()
            others[0].place.send_audio(b"\2\2")
            await until(lambda: others[0].heard == b"\2\2")
            again = EchoLeg(await made.place(WAIT_S))  # in the other one, at once
            assert again.process is made.supervisors[1]
            await until(lambda: made.supervisors[0].ready)
            assert (await take(made)).process is made.supervisors[0]

    asyncio.run(story())


def test_what_is_logged_for_a_leg_names_its_call_also_when_its_process_is_lost() -> None:
    async def story() -> None:
        async with pool(processes=1) as made:
            with logged() as lines:
                legs = [await take(made) for _ in range(2)]
                pid = made.supervisors[0].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await until(lambda: legs[1].losses)
            for text in ("it has begun", "its process is lost"):
                assert [call_id for call_id, line in lines if text in line] == [leg.call_id for leg in legs]

    asyncio.run(story())


def test_an_error_in_one_leg_is_told_that_leg_alone() -> None:
    async def story() -> None:
        async with pool(processes=1) as made:
            one, other = await take(made), await take(made)
            one.place.post(Finish())
            await until(lambda: one.failures)
            assert one.failures == ["internal error of the gateway: see its log"]
            other.place.send_audio(b"\3\3")
            await until(lambda: other.heard)
            assert (other.failures, made.supervisors[0].restarts) == ([], 0)

    asyncio.run(story())


def test_an_error_in_one_leg_at_the_loss_of_its_process_does_not_keep_it_from_the_others() -> None:
    class Failing(EchoLeg):
        def process_lost(self) -> None:
            super().process_lost()
            raise RuntimeError("a test's")

    async def story() -> None:
        async with pool(processes=1) as made:
            one, other = Failing(await made.place(WAIT_S)), EchoLeg(await made.place(WAIT_S))
            await until(lambda: one.events and other.events)
            pid = made.supervisors[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: one.failures)
            assert (other.losses, other.failures) == (1, [])
            assert one.failures == ["internal error of the gateway: see its log"]

    asyncio.run(story())


def test_frames_that_a_process_does_not_read_are_counted_for_their_leg() -> None:
    async def story() -> None:
        async with pool(processes=1) as made:
            one, other = await take(made), await take(made)
            pid = made.supervisors[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:
                for _ in range(50):
                    one.place.send_audio(bytes(32_000))
                    await asyncio.sleep(0)
            finally:
                os.kill(pid, signal.SIGCONT)
            assert 0 < one.place.frames_dropped < 50
            assert other.place.frames_dropped == 0

    asyncio.run(story())


def test_there_are_always_places_for_the_legs_of_any_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_pool, "AHEAD_S", 0.02)
    monkeypatch.setattr(leg_pool, "IDLE_S", 0.2)

    async def story() -> None:
        async with pool(processes=1, most=3, places=2) as made:
            legs = [await take(made)]
            await until(lambda: len(made.supervisors) == 2)
            legs += [await take(made) for _ in range(2)]
            await until(lambda: len(made.supervisors) == 3)
            legs += [await take(made) for _ in range(3)]
            assert "no echo leg process had a place within 0.05 s" in await refused(made)
            assert len(made.supervisors) == 3, "as many as there may be"
            waiting = asyncio.create_task(take(made))
            await asyncio.sleep(0)
            legs.pop().place.release()
            legs.append(await waiting)
            pids = [supervisor.pid for supervisor in made.supervisors]
            for leg in legs:
                leg.place.release()
            await until(lambda: len(made.supervisors) == 1)
            await until(lambda: sum(_is_there(pid) for pid in pids) == 1)
            await until(lambda: not vars(made)["_ending"])

    asyncio.run(story())


def test_a_lost_process_has_no_places_until_it_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_pool, "AHEAD_S", 0.02)

    async def story() -> None:
        async with pool(processes=2, most=3, places=1) as made:
            lost = await take(made)
            pid = lost.process.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: lost.losses)
            await take(made)  # the place that was kept for it
            await until(lambda: len(made.supervisors) == 3)
            await take(made)
            await until(lambda: made.restarts == 1)

    asyncio.run(story())


def test_a_hundred_legs_that_come_and_go_leave_nothing() -> None:
    async def story() -> None:
        async with pool(processes=2, places=5) as made:
            legs: list[EchoLeg] = []
            for number in range(100):
                if len(legs) == 8:
                    await finish(legs.pop(number % 8))
                legs.append(await take(made))
            for leg in legs:
                await finish(leg)
            counted = await made.census()
            assert [one.legs for one in counted] == [0, 0]
            assert [one.restarts for one in made.supervisors] == [0, 0]
            assert all(not process.places for process in vars(made)["_processes"])

    asyncio.run(story())


def _is_there(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True
