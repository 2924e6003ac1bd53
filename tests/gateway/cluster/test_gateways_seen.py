"""What the log says of other gateways: each coming and going once, and no floods."""

from __future__ import annotations

import asyncio
import random

from piopiy_pipeline.gateway.cluster.gateways_seen import GatewaysSeen
from piopiy_pipeline.gateway.cluster.other_gateways import EXPIRE_S
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.agents import logged
from tests.support.cluster import ModelCluster


def test_who_is_there_who_comes_who_leaves_and_who_is_lost_is_said_once() -> None:
    seen = GatewaysSeen()
    assert seen.look({"b"}, (), 0.0, connected=False) == []
    assert seen.look({"b"}, (), 1.0, connected=True) == [
        ("INFO", "this gateway has joined its cluster: with 'b'")
    ]
    assert seen.look({"b"}, (), 3.0, connected=True) == []
    [(level, text)] = seen.look({"b", "c", "d"}, (), 10.0, connected=True)
    assert level == "INFO"
    assert text == "in the cluster there is 'c', 'd' now: 3 other gateways there now"
    assert seen.look({"b", "c", "d"}, (), 12.0, connected=True) == []
    left, lost = seen.look({"b"}, {"d"}, 20.0, connected=True)
    assert left == ("INFO", "the cluster was left by 'c': 1 other gateway there now")
    assert lost[0] == "WARNING"
    assert "nothing is heard of 'd'" in lost[1]
    assert seen.look({"b"}, {"d"}, 22.0, connected=True) == []


def test_one_that_is_alone_says_so() -> None:
    assert GatewaysSeen().look((), (), 0.0, connected=True)[0][1].endswith("no other gateway is there yet")


def test_two_hundred_at_once_are_one_line() -> None:
    seen = GatewaysSeen()
    seen.look((), (), 0.0, connected=True)
    [(_, text)] = seen.look([f"g{number}" for number in range(200)], (), 2.0, connected=True)
    assert "and 195 more" in text
    assert len(text) < 200


def test_after_a_failure_of_the_directory_nobody_is_called_lost_who_was_only_not_heard() -> None:
    seen = GatewaysSeen()
    seen.look({"b"}, (), 0.0, connected=True)
    assert seen.look((), {"b"}, 10.0, connected=False) == []
    assert seen.look((), {"b"}, 30.0, connected=True) == []
    assert seen.look({"b"}, (), 31.0, connected=True) == []
    assert seen.look((), {"b"}, 30.0 + EXPIRE_S, connected=True)[0][0] == "WARNING"


def test_one_that_comes_and_goes_all_the_time_is_four_lines_a_minute() -> None:
    seen = GatewaysSeen()
    seen.look((), (), 0.0, connected=True)
    lines = []
    for number in range(600):
        there = {"b"} if number % 2 else set()
        lines += seen.look(there, {"b"} - there, 10.0 + number, connected=True)
    assert 30 <= len(lines) <= 44
    seen.look({"b"}, (), 800.0, connected=True)
    assert seen.look((), {"b"}, 900.0, connected=True)[0][0] == "WARNING"


def test_gateways_log_whom_they_have_joined_and_who_is_killed() -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(1))
        await house.open(2, 0, 1)
        with logged() as lines:
            await asyncio.sleep(10)
            next(iter(house.gateways.values())).kill()
            await asyncio.sleep(30)
        texts = [line for _, line in lines if "cluster" in line]
        assert sum("INFO this gateway has joined its cluster: with " in one for one in texts) == 2
        lost = [one for one in texts if one.startswith("WARNING lost in the cluster")]
        assert lost, texts
        assert len(texts) <= 4
        await house.close()

    run_virtual(scenario, limit_s=600)
