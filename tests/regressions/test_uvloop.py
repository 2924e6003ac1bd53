"""What went wrong only on uvloop, on which the gateway runs in production."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint

uvloop = pytest.importorskip("uvloop")


class NoCalls:
    def incoming_call(self, call: IncomingCall, now: float) -> None:
        raise AssertionError("nobody calls")


def test_a_sip_timer_that_is_due_at_once_is_armed_again_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of `call_at` in less than 0.5 ms uvloop returns a handle that cannot say when it is due."""

    async def story() -> None:
        endpoint = await SipEndpoint.open(SipConfig(port=0), NoCalls())
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        try:
            due = asyncio.get_running_loop().time()
            woken: list[float] = []
            monkeypatch.setattr(type(endpoint._agent), "wake_at", property(lambda _: None if woken else due))
            monkeypatch.setattr(endpoint._agent, "wake", woken.append)
            endpoint._flush_soon()
            await asyncio.sleep(0)
            endpoint._flush()  # as another message does, before the timer has fired
            await asyncio.sleep(0.05)
            assert len(woken) == 1
            assert not failed
        finally:
            monkeypatch.undo()
            await endpoint.close()

    uvloop.run(story())
