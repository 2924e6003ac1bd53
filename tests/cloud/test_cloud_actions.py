"""What the gateway asks of Piopiy's REST API, with a gateway's own `/v3` in the cloud's place."""

from __future__ import annotations

import asyncio
import json

import pytest

from piopiy_pipeline.signaling.messages import Transfer
from piopiy_pipeline.testing import run_virtual
from tests.support.api_place import place
from tests.support.gateway_peers import caller, until
from tests.support.web import API_KEY

actions = pytest.importorskip("piopiy_pipeline.gateway.cloud.cloud_actions", exc_type=ImportError)
piopiy_agent = pytest.importorskip("piopiy_agent")


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


class UnsettledCloud:
    """Stands where the client of Piopiy's REST API does: a cloud that says "queued" for ever."""

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[str] = []
        self.polled: list[str] = []

    async def warm_transfer(self, **_: object) -> object:
        await asyncio.sleep(0.1)
        self.asked.append(f"t{len(self.asked) + 1}")
        return piopiy_agent.control.TransferResult(self.asked[-1], "c")

    async def transfer_status(self, request_id: str) -> object:
        await asyncio.sleep(0.1)
        self.polled.append(request_id)
        return piopiy_agent.TransferStatus(request_id, "c", "queued")

    async def close(self) -> None: ...


class Unsettled:
    """Transfers of one call to such a cloud."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(actions, "PiopiyCallControl", UnsettledCloud)
        self.actions = actions.CloudActions("c", token="t", api_url="http://cloud.invalid")
        self.cloud: UnsettledCloud = self.actions._control
        self.results: list[tuple[str, str, str]] = []

    def transfer(self, name: str) -> None:
        wish = Transfer(call_id="c", request_id=name, to="+4930123456", warm=True, ring_timeout_s=20)
        self.actions.transfer(wish, lambda outcome, detail, now: self.results.append((name, outcome, detail)))

    def settled(self, request_id: str, reason: str) -> None:
        said = {"request_id": request_id, "call_id": "c", "status": "failed", "reason": reason}
        self.actions.room_message("transfer_status", json.dumps(said).encode())


def test_a_transfer_that_the_cloud_never_settles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        here = Unsettled(monkeypatch)
        here.transfer("first")
        await asyncio.sleep(29)
        assert here.results == []
        await asyncio.sleep(2)
        polled = len(here.cloud.polled)
        await asyncio.sleep(60)
        assert len(here.cloud.polled) == polled
        await here.actions.close()
        assert here.results == [
            ("first", "no_answer", "Piopiy's cloud has not said within 20 s what became of it")
        ]

    run_virtual(story)


def test_a_second_transfer_ends_the_first_and_nothing_is_asked_behind_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        here = Unsettled(monkeypatch)
        here.transfer("first")
        await asyncio.sleep(10)
        here.transfer("second")
        here.settled("t1", "no_answer")  # of the first, before the cloud has named the second
        polled = len(here.cloud.polled)
        await asyncio.sleep(10)
        assert here.cloud.asked == ["t1", "t2"]
        assert set(here.cloud.polled[polled:]) == {"t2"}
        assert here.results == []
        here.transfer("third")
        await here.actions.close()
        polled = len(here.cloud.polled)
        await asyncio.sleep(60)
        assert len(here.cloud.polled) == polled
        assert here.cloud.asked == ["t1", "t2"]
        assert here.results == []

    run_virtual(story)
