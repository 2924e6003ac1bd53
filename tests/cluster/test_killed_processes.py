"""A gateway of a cluster, and its NATS server, killed with signal 9 under calls: real processes, by the clock of the
wall. What callers hear is noted by pitch: each agent has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.calls import eventually
from tests.support.cluster_processes import cluster
from tests.support.nats_server import needs_nats

pytestmark = [needs_nats, pytest.mark.realtime, pytest.mark.chaos]

PATIENCE_S = 20.0
Report = Callable[[str, object], None]


def test_a_gateway_that_is_killed_costs_no_call_of_the_others_and_its_agents_take_calls_again(
    tmp_path: Path, request: pytest.FixtureRequest, record_property: Report
) -> None:
    calls = 10 if request.config.getoption("--chaos-long") else 3

    async def story() -> None:
        async with cluster(tmp_path) as place:
            a, b, c = place.gateways
            loop = asyncio.get_running_loop()
            lost = await place.callers(a, calls)
            kept = [*await place.callers(b, calls), *await place.callers(c, calls)]
            await asyncio.sleep(2)
            killed_at = loop.time()
            before = max(one.longest_silence_s(killed_at - 2, killed_at) for one in kept)
            a.kill()
            new = await place.caller(b)  # nobody is at home anywhere at this moment
            await eventually(lambda: new.agent_heard(), PATIENCE_S)
            taken_s = loop.time() - killed_at
            await eventually(lambda: b.at_home() + c.at_home() == 3, PATIENCE_S)
            home_s = loop.time() - killed_at
            await asyncio.sleep(2)
            until = loop.time()
            assert all(one.ended for one in lost)
            assert not [one.ended for one in kept if one.ended]
            silence = max(one.longest_silence_s(killed_at, until) for one in kept)
            assert silence < before + 0.5, "they heard their bots all the time"
            assert taken_s < PATIENCE_S
            record_property(
                "chaos",
                {
                    "fault": f"one of three gateways is killed, under {3 * calls} calls, with all agents at home there",
                    "calls of the others lost": 0,
                    "longest silence of the others, s": round(silence, 3),
                    "and before": round(before, 3),
                    "all agents at home elsewhere after, s": round(home_s, 2),
                    "a new call hears its bot after, s": round(taken_s, 2),
                },
            )
            print(
                f"home {home_s:.2f} s, a new call heard {taken_s:.2f} s, silence {silence:.3f} s ({before:.3f})"
            )

    asyncio.run(story())


def test_a_killed_nats_server_costs_no_call_and_new_ones_go_on_where_agents_are_at_home(
    tmp_path: Path, request: pytest.FixtureRequest, record_property: Report
) -> None:
    down_s = 20 if request.config.getoption("--chaos-long") else 2

    async def story() -> None:
        async with cluster(tmp_path, gateways=2, agents=2) as place:
            a, b = place.gateways
            loop = asyncio.get_running_loop()
            callers = [*await place.callers(a, 2), *await place.callers(b, 2)]
            await asyncio.sleep(2)
            killed_at = loop.time()
            before = max(one.longest_silence_s(killed_at - 2, killed_at) for one in callers)
            await place.nats.kill()
            await eventually(lambda: "are not reached" in a.log and "are not reached" in b.log, PATIENCE_S)
            callers += await place.callers(a, 1)
            await asyncio.sleep(down_s)
            await place.nats.start()
            await eventually(lambda: "is there again" in a.log and "is there again" in b.log, PATIENCE_S)
            again_s = loop.time() - killed_at
            callers += await place.callers(b, 1)
            until = loop.time()
            assert not [one.ended for one in callers if one.ended]
            silence = max(one.longest_silence_s(killed_at, until) for one in callers[:4])
            assert silence < before + 0.5
            record_property(
                "chaos",
                {
                    "fault": f"the NATS server is killed and started again after {down_s} s, under 4 calls",
                    "calls lost": 0,
                    "longest silence, s": round(silence, 3),
                    "and before": round(before, 3),
                    "joined again after, s": round(again_s, 2),
                },
            )
            print(f"again {again_s:.2f} s, silence {silence:.3f} s ({before:.3f})")

    asyncio.run(story())
