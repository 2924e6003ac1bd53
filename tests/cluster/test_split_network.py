"""A cluster whose network is cut in two, and mended: in a network namespace of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.alone import run_alone
from tests.support.nats_server import needs_nats

pytestmark = [needs_nats, pytest.mark.realtime, pytest.mark.chaos]


def test_each_side_goes_on_and_no_call_has_two_agents_when_the_network_heals(
    record_property: Callable[[str, object], None],
) -> None:
    seen = run_alone("tests.cluster.split_network", timeout_s=200)
    record_property("chaos", {"fault": "the network between two gateways is cut for 8 s", **seen})
    print(seen)
    assert seen["two_agents"] == 0
    assert seen["over_capacity"] == 0
    assert seen["ended_while_cut"] == 0
    assert seen["refused"][0] in ("busy", "no_agent"), "nobody is there on that side"
    assert seen["ended_in_all"] == []
    assert seen["calls"] >= 6
