"""An agent whose event loop has too much to do: real sockets, and a loop that really works all the time."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, CallLog, eventually, house

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]


async def talks(call: Call) -> None:
    await (await voice(call, greeting=LONG)).start()


def test_new_calls_are_told_busy_until_the_loop_has_time_again_and_those_in_progress_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIOPIY_LOAD_THRESHOLD", "0.5")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        idle = asyncio.Event()

        def work() -> None:
            if not idle.is_set():
                loop.call_soon(work)

        async with house(talks) as place:
            logs = [CallLog(16000) for _ in range(3)]
            hang_up = asyncio.Event()
            calling = [asyncio.create_task(place.call(log=log, hang_up=hang_up)) for log in logs]
            await eventually(lambda: all(log.heard.size > 0 for log in logs), 20)
            [instance] = place.gateway.switchboard.instances.of(AGENT_ID)
            assert instance.takes_calls
            work()
            await eventually(lambda: not instance.takes_calls, 20)
            assert instance.load is not None
            assert instance.load.why
            assert (await place.call()).reason is EndReason.BUSY
            assert "busy with the calls that they have: 1" in place.ended()[-1].detail
            assert not any(task.done() for task in calling)
            idle.set()
            await eventually(lambda: instance.takes_calls, 30)
            more = CallLog(16000)
            calling.append(asyncio.create_task(place.call(log=more, hang_up=hang_up)))
            await eventually(lambda: more.heard.size > 0, 20)
            hang_up.set()
            await asyncio.gather(*calling)
            assert {log.reason for log in (*logs, more)} == {EndReason.CALLER_HANGUP}

    asyncio.run(scenario())
