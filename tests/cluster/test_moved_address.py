"""A gateway is killed under a telephone call, and another process takes its address: in a network of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.support.alone import run_alone
from tests.support.nats_server import needs_nats

pytestmark = [needs_nats, pytest.mark.realtime, pytest.mark.chaos]


@pytest.mark.skipif(shutil.which("baresip") is None, reason="needs baresip (apt-get install baresip-core)")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_phone_hears_its_bot_again_from_the_process_that_takes_the_address(
    transport: str,
    record_property: Callable[[str, object], None],
) -> None:
    seen = run_alone("tests.cluster.moved_address", transport, timeout_s=150)
    record_property(
        "chaos",
        {"fault": f"a gateway under a telephone call ({transport}) is killed, and its address moves", **seen},
    )
    print(seen)
    assert seen["goes_on"]
    assert seen["times_begun"] == 2, "its state came with the checkpoint"
    assert seen["phone_lost_its_call"] == 0
    assert seen["last_end"] == "caller_hangup", "its BYE finds the call where it goes on"
