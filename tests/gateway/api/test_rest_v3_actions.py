"""What `/v3` does with a call under way: transfers, pipelines, hold, hangup."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from piopiy_pipeline.gateway.core.dialling import DialFailure
from piopiy_pipeline.gateway.core.snapshots import Phase
from tests.support.gateway_peers import caller, until
from tests.support.rest_v3 import PHONE, connect, place, post, refusal


def test_a_warm_transfer_of_generation_2_is_followed_from_queued_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            wish = {
                "to_number": "917777777777",
                "caller_id": "919999999999",
                "timeout_sec": 25,
                "hold_audio": True,
                "transfer_summary": "refund",
                "sip_headers": {"X-Ticket": "A-1"},
            }
            answer = await post(here, f"/calls/{call_id}/actions/transfer", **wish)
            ticket = answer.json()["request_id"]
            assert answer.json() == {"message": "queued", "call_id": call_id, "request_id": ticket}
            request = here.far.request
            assert (request.to, request.from_number, request.ring_timeout_s) == (
                "+917777777777",
                "+919999999999",
                25,
            )
            assert request.headers == {"X-Call-Summary": "refund", "X-Ticket": "A-1"}
            assert here.call(call_id).media_path.held
            second = await post(here, f"/calls/{call_id}/actions/transfer", to_number="916666666666")
            assert refusal(second)[:2] == (409, "transfer_in_progress")
            assert second.json()["request_id"] == ticket
            queued = (await here.web.get(f"/v3/transfers/{ticket}")).json()
            assert queued == {"request_id": ticket, "call_id": call_id, "status": "queued"}
            here.far.dialled.callee_failed(here.now, "declined", "603 Decline")
            failed = (await here.web.get(f"/v3/transfers/{ticket}")).json()
            assert (failed["status"], failed["reason"], failed["message"]) == (
                "failed",
                "rejected",
                "603 Decline",
            )
            assert not here.call(call_id).media_path.held, "the caller is the bot's again"
            blind = await post(
                here, f"/calls/{call_id}/actions/transfer", pipeline=[connect(PHONE), {"action": "hangup"}]
            )
            here.far.dialled.callee_answered(here.now)
            assert here.call(call_id).phase is Phase.BRIDGED
            done = (await here.web.get(f"/v3/transfers/{blind.json()['request_id']}")).json()
            assert done["status"] == "completed"
            assert (await post(here, f"/calls/{call_id}/actions/hangup", cause="normal")).status_code == 200
            lost = await here.web.get(f"/v3/transfers/{call_id}-0")
            assert refusal(lost)[:2] == (404, "transfer_not_found")

    asyncio.run(story())


def test_endpoints_of_a_pipeline_ring_one_after_the_other_until_somebody_takes_the_caller() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            desk = {"type": "sip", "uri": "sip:desk@pbx.example"}
            pipeline = [connect(PHONE, desk, {**PHONE, "number": "916666666666"}, strategy="simultaneous")]
            begun = await post(here, "/voice/pcmo/transfer", call_id=call_id, pipeline=pipeline)
            assert "endpoints ring one after the other" in begun.json()["warnings"][0]
            where = f"/v3/transfers/{begun.json()['request_id']}"
            reasons: tuple[DialFailure, ...] = ("busy", "no_answer")
            for why in reasons:
                tried = len(here.dialler.legs)
                assert (await here.web.get(where)).json()["status"] == "queued"
                here.far.dialled.callee_failed(here.now, why, "")
                assert (await here.web.get(where)).json()["status"] == "queued"
                await until(partial(here.has_tried, tried + 1))
            assert [leg.request.to for leg in here.dialler.legs] == [
                "+917777777777",
                desk["uri"],
                "+916666666666",
            ]
            here.far.dialled.callee_answered(here.now)
            assert (await here.web.get(where)).json()["status"] == "completed"
            assert here.call(call_id).phase is Phase.BRIDGED

    asyncio.run(story())


def test_a_pipeline_may_hang_up_and_a_caller_may_be_held() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            sound = here.call(call_id).media_path
            assert (await post(here, f"/calls/{call_id}/actions/hold")).json()["message"] == "held"
            assert sound.held
            assert (await post(here, f"/calls/{call_id}/actions/unhold")).json()["message"] == "resumed"
            assert not sound.held
            answer = await post(
                here, "/voice/pcmo/transfer", call_id=call_id, pipeline=[{"action": "hangup"}]
            )
            assert answer.json()["message"] == "hung_up"
            assert (await line.hear("ended"))["reason"] == "agent_hangup"
            held = await post(here, f"/calls/{call_id}/actions/hold")
            assert refusal(held)[:2] == (409, "call_not_active")
            unknown = await post(here, "/calls/nothing/actions/hold")
            assert refusal(unknown)[:2] == (404, "call_not_found")

    asyncio.run(story())
