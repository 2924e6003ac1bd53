"""The agent's loop stands still, and the caller does not hear it: speech was sent ahead of time.

In real time, because a loop stands still for real while another process plays what it was sent.
"""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.call import EndReason
from tests.support.agents import apart, longest_hole_s

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

UNHEARD_S = 0.4
"""Less than this is the machine's own, when it is busy; the loop stands still for 2 s."""


def test_a_loop_that_is_blocked_for_two_seconds_in_mid_speech_makes_no_gap() -> None:
    async def scenario() -> None:
        async with apart() as place:
            log = await place.call(metadata={"bot": "stalls", "seconds": 2.0}, hangup_after_s=1.0)
            (record,) = place.ended()
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.heard.size > 6 * 16000, "the sentence was heard to its end"
            assert longest_hole_s(log.heard, 16000) < UNHEARD_S
            assert record.worst_gap_s < UNHEARD_S

    asyncio.run(scenario())
