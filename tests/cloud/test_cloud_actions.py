"""What the gateway asks of Piopiy's REST API, with a gateway's own `/v3` in the cloud's place."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.signaling.messages import Transfer
from tests.support.api_place import place
from tests.support.gateway_peers import caller, until
from tests.support.web import API_KEY

actions = pytest.importorskip("piopiy_pipeline.gateway.cloud.cloud_actions", exc_type=ImportError)


@pytest.mark.parametrize("warm", [True, False])
def test_the_number_that_is_to_be_shown_and_headers_reach_whoever_is_called(warm: bool) -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            url = here.gateway.url.replace("ws", "http", 1)
            cloud = actions.CloudActions(call_id, token=API_KEY, api_url=f"{url}/v3")
            to = "sip:desk@pbx.example" if warm else "+91 77777 77777"
            wish = Transfer(call_id="ours", request_id="t", to=to, warm=warm, summary="refund")
            results: list[tuple[str, str]] = []
            try:
                cloud.transfer(
                    wish,
                    lambda outcome, detail, now: results.append((outcome, detail)),
                    from_number="+91 99999 99999",
                    headers={"X-Ticket": "7"},
                )
                await until(lambda: bool(here.dialler.legs))
                request = here.far.request
                assert request.from_number == "+919999999999"
                assert request.to == (to if warm else "+917777777777")
                assert request.headers == ({"X-Ticket": "7", "X-Call-Summary": "refund"} if warm else {})
                here.far.dialled.callee_answered(here.now)
                await until(lambda: bool(results))
                assert results == [("bridged", "")]
            finally:
                await cloud.close()

    asyncio.run(story())
