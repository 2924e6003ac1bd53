"""What the code of one call does to the event loop of its agent harms no other call. Real gateway and sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from tests.support.bots import LONG, voice
from tests.support.calls import CallLog, eventually, house

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

PATIENCE_S = 20.0


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


def _stop() -> None:
    asyncio.get_running_loop().stop()


def _interrupt() -> None:
    raise KeyboardInterrupt


HARMS = {"cancels": _cancel_all, "stops": _stop, "interrupts": _interrupt}
ENDS = {"cancels": EndReason.ERROR, "stops": EndReason.CALLER_HANGUP, "interrupts": EndReason.CALLER_HANGUP}


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited"
)
@pytest.mark.parametrize("harm", HARMS)
def test_who_harms_the_event_loop_harms_no_other_call(harm: str) -> None:
    async def bot(call: Call, metadata: dict[str, Any] | None = None) -> None:
        agent = await voice(call, greeting=LONG)

        async def harms(_: object) -> None:
            HARMS[metadata["harm"]]()  # type: ignore[index]

        if metadata:
            agent.on("answered", harms)
        await agent.start()

    async def story() -> list[EndReason]:
        async with house(bot) as place:
            beside, culprit = CallLog(16000), CallLog(16000)
            calling = asyncio.create_task(place.call(log=beside, hangup_after_s=2.0))
            await eventually(lambda: beside.heard.size > 0, PATIENCE_S)
            await asyncio.wait_for(
                place.call(log=culprit, metadata={"harm": harm}, hangup_after_s=1.0), PATIENCE_S
            )
            await asyncio.wait_for(calling, PATIENCE_S)
            await eventually(lambda: place.agent.active == 0, PATIENCE_S)
            return [culprit.reason, beside.reason]

    assert asyncio.run(story()) == [ENDS[harm], EndReason.CALLER_HANGUP]
