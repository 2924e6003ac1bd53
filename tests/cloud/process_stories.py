"""Stories of the leg processes that have the rooms: they are killed, hang, and come and go. As `cloud_stories`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor
from tests.cloud.cloud_stories import STARTS_S, Place, place
from tests.support.calls import eventually


def _process_of(here: Place, job: str) -> LegSupervisor:
    """Return the process that has the room of a call."""
    worker = vars(here.gateway)["_cloud"]
    [found] = [
        process.supervisor
        for process in vars(worker.pool)["_processes"]
        for one in process.places.values()
        if one.leg is not None and one.leg.call_id == f"uuid-{job}"
    ]
    assert isinstance(found, LegSupervisor)
    return found


async def lost_processes() -> dict[str, Any]:
    """The process of one call's room is killed while the bot speaks, and then the one that it is in now hangs."""
    async with place() as here:
        cloud, worker = here.cloud, vars(here.gateway)["_cloud"]
        await eventually(lambda: all(process.ready for process in worker.processes), STARTS_S)
        await here.takes("one")
        await here.takes("two")
        first, other = _process_of(here, "one"), _process_of(here, "two")
        await cloud.heard_until("one", 1.0)
        before = await cloud.heard_until("two", 1.0)
        assert first is not other
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await cloud.wait("joined", room="one", times=2)
        heard = await cloud.heard_until("one", 5.5)
        beside = await cloud.heard_until("two", before["loud_s"] + 3.0)
        await cloud.do("press", job="one", digit="5")
        await eventually(lambda: here.keys, 10)
        await cloud.do("leave", job="two")
        await cloud.wait("completed", job="two")
        await here.takes("three")
        hung = _process_of(here, "three")
        assert hung.pid is not None
        before = await cloud.heard_until("three", 0.5)
        os.kill(hung.pid, signal.SIGSTOP)
        await cloud.wait("joined", room="three", times=2)
        await cloud.heard_until("three", before["loud_s"] + 0.3)
        ends = [end.reason for end in here.ends]
        for job in ("one", "three"):
            await cloud.do("leave", job=job)
            await cloud.wait("completed", job=job)
        await here.ended(3)
        await eventually(lambda: all(process.ready for process in worker.processes), STARTS_S)
        counted = await worker.census()
        pids = [process.pid for process in worker.processes]
    return {
        "heard_s": heard["loud_s"],
        "hole_s": heard["hole_s"],
        "beside_hole_s": beside["hole_s"],
        "keys": here.keys,
        "ends_during": ends,
        "ends": [end.reason for end in here.ends],
        "rest": cloud.of("rest"),
        "legs": [one.legs for one in counted],
        "connections": [one.connections for one in counted],
        "left_over": [pid for pid in pids if _is_there(pid)],
    }


async def not_joined_again() -> dict[str, Any]:
    """The process of a room dies, and the room cannot be joined: the token is not valid, or the caller has left."""
    async with place() as here:
        cloud = here.cloud
        for job, what in (("token", "revoke"), ("left", "leave")):
            await here.takes(job)
            await cloud.heard_until(job, 0.5)
            process = _process_of(here, job)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)  # it does not notice what happens now
            await cloud.do(what, job=job)
            os.kill(process.pid, signal.SIGKILL)
            await cloud.wait("completed", job=job)
        return {
            "ends": [[end.reason, end.detail] for end in here.ends],
            "rest": [[one["call"], one["action"]] for one in cloud.of("rest")],
        }


async def churned() -> dict[str, Any]:
    """Short calls, one in each process, while now and then a process is killed."""
    async with place(max_calls=3, calls_per_process=1) as here:
        cloud, worker = here.cloud, vars(here.gateway)["_cloud"]
        for number in range(8):
            job = f"call-{number}"
            await here.takes(job)
            await cloud.heard_until(job, 0.2)
            if number % 3 == 1:
                os.kill(_process_of(here, job).pid or 0, signal.SIGKILL)
                await cloud.wait("joined", room=job, times=2)
                heard = await cloud.heard(job)
                await cloud.heard_until(job, heard["loud_s"] + 0.2)
            if number:
                await cloud.do("leave", job=f"call-{number - 1}")
        await cloud.do("leave", job="call-7")
        await here.ended(8)
        for number in range(8):
            await cloud.wait("completed", job=f"call-{number}")
        await eventually(lambda: all(process.ready for process in worker.processes), STARTS_S)
        counted = await worker.census()
        return {
            "ends": [end.reason for end in here.ends],
            "processes": len(counted),
            "restarts": sum(process.restarts for process in worker.processes),
            "legs": sum(one.legs for one in counted),
            "connections": sum(one.connections for one in counted),
            "calls_left": here.gateway.switchboard.call_count,
        }


def _is_there(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


STORIES: dict[str, Callable[[], Coroutine[Any, Any, dict[str, Any]]]] = {
    story.__name__: story for story in (lost_processes, not_joined_again, churned)
}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(STORIES[sys.argv[1]]())))
