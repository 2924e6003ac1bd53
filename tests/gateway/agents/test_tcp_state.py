"""Whether a peer hangs or is cut off, by what its system confirms: in a real network that is cut."""

from __future__ import annotations

import socket
import sys

import pytest

from piopiy_pipeline.gateway.agents.tcp_state import unconfirmed_bytes
from tests.support.alone import run_alone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")


@pytest.mark.realtime
def test_what_is_sent_to_a_process_that_hangs_is_confirmed_and_what_is_lost_is_not() -> None:
    """Against the clock of the wall, which TCP has."""
    seen = run_alone("tests.gateway.agents.cut_off_connection", timeout_s=60)
    assert seen == {"hung": 0, "cut": 9, "mended": 0}


def test_of_what_is_no_tcp_connection_nothing_is_known() -> None:
    assert unconfirmed_bytes(None) is None
    near, far = socket.socketpair()
    with near, far:
        assert unconfirmed_bytes(near) is None
    with near:
        assert unconfirmed_bytes(near) is None, "it is closed"
