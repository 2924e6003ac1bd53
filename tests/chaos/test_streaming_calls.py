"""A provider or a stage that streams without end, in some of the calls of one agent: they end, and nobody else notices.

Real processes and their real memory, against the clock of the wall.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from piopiy_pipeline.call import EndReason
from tests.call.test_isolation import Neighbour, ended_with
from tests.support.agents import apart
from tests.support.calls import CallLog

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

AT_ONCE = 5
GROWTH_MB = 200
"""It was 370 to 490 MB for each of these calls when nothing was bounded."""
KEPT_MB = 80
"""What the allocator keeps of it, and what five calls more load."""
WHY = {"tts": "tts: ", "llm": "llm: ", "stage": "extra: "}


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def highest(pid: int, during: asyncio.Future[list[CallLog]]) -> float:
    """Return the highest resident memory of a process until something is over, in MB."""
    found = 0.0
    while not during.done():
        found = max(found, resident_mb(pid))
        await asyncio.wait({during}, timeout=0.05)
    return found


@pytest.mark.parametrize("what", list(WHY))
def test_five_calls_in_which_something_streams_without_end_end_and_nobody_else_notices(
    what: str, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        async with apart(arguments=("-m", "tests.support.streaming_bots")) as place:
            await place.call(metadata={"bot": "talks"}, hangup_after_s=1.0)  # everything is loaded
            pid = place.process.process.pid
            before = resident_mb(pid)
            neighbour = Neighbour(place)
            await neighbour.in_mid_speech()
            metadata = {"bot": "streams", "what": what}
            calls = asyncio.gather(*(place.call(metadata=metadata, limit_s=90) for _ in range(AT_ONCE)))
            grown = await highest(pid, calls) - before
            await neighbour.noticed_nothing()
            for log in await calls:
                reason, detail = ended_with(place, log)
                assert reason is EndReason.ERROR
                assert detail.startswith(WHY[what]), detail
            call_id = neighbour.log.of("ringing")[0]["call_id"]
            gap_s = next(call.worst_gap_s for call in place.ended() if call.call_id == call_id)
            kept = resident_mb(pid) - before
            record_property(
                "chaos",
                {
                    "fault": f"{what} that streams without end, in {AT_ONCE} calls",
                    "others_worst_gap_s": gap_s,
                    "what became of it": f"ended, at most {grown:.0f} MB more, {kept:.0f} MB after it: {detail}",
                },
            )
            assert grown < GROWTH_MB
            assert kept < KEPT_MB

    asyncio.run(story())
