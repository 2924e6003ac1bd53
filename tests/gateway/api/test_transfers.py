"""What became of a transfer, over HTTP: while it rings, afterwards, and from the record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.api.models import PromptOrder, TransferOrder
from piopiy_pipeline.gateway.api.prompt_run import PromptRun
from piopiy_pipeline.gateway.api.transfers import KEPT_S, MOST_KEPT, Attempts, TransferLog
from piopiy_pipeline.gateway.core.event_bus import ConversationReported
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.prompts import KeyRules, Prompt
from tests.support.api_place import place, problem
from tests.support.gateway_peers import caller, until
from tests.support.live_call import Live, holds, phase

TOLD = {"to": "200", "warm": True, "outcome": "busy", "detail": "486 Busy Here"}


def transferred(request_id: str) -> ConversationReported:
    return ConversationReported(0.0, "c", 1, 0.0, "transfer", {**TOLD, "request_id": request_id})


def test_a_transfer_that_a_bot_asked_for_is_found_too_and_outlives_memory_in_the_records(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            wish = {"call_id": call_id, "request_id": "t1", "to": "200", "warm": True, "summary": ""}
            await here.agent.say(type="transfer", ring_timeout_s=20, **wish)

            async def look() -> dict[str, Any]:
                answer = await here.web.get(f"/api/calls/{call_id}/transfers/t1")
                found: dict[str, Any] = answer.json()
                return found

            while "error" in (found := await look()):
                pass
            assert (found["to"], found["warm"], found["outcome"]) == ("200", True, None)
            here.far.dialled.callee_failed(here.now, "busy", "486 Busy Here")
            assert await look() == {**found, "outcome": "busy", "detail": "486 Busy Here"}
            await line.say(event="hangup")
            await line.hear("ended")
            forgotten = MOST_KEPT + 1  # of other calls, meanwhile
            for number in range(forgotten):
                here.gateway.switchboard.event_bus.publish(transferred(str(number)))
            assert (await look())["outcome"] == "busy"
            none = await here.web.get(f"/api/calls/{call_id}/transfers/t2")
            assert problem(none) == (404, f"call {call_id!r} has no transfer 't2'")

    asyncio.run(story())


def test_a_caller_is_held_while_it_rings_if_the_order_says_so_and_another_number_is_shown() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            more = {"from": "100", "hold": True, "headers": {"X-Ticket": "7"}}
            ticket = (await here.ask(call_id, "transfer", to="200", **more)).json()["request_id"]
            request = here.far.request
            assert (request.from_number, request.headers) == ("100", {"X-Ticket": "7"})
            assert here.call(call_id).media_path.held
            second = await here.ask(call_id, "transfer", to="300")
            assert (second.status_code, second.json()["request_id"]) == (409, ticket)
            here.far.dialled.callee_failed(here.now, "no_answer", "")
            assert not here.call(call_id).media_path.held
            await here.ask(call_id, "hold")
            await here.ask(call_id, "transfer", to="200", hold=True)
            here.far.dialled.callee_failed(here.now, "no_answer", "")
            assert here.call(call_id).media_path.held, "as an operator wants it"
            for headers in ({"From": "x"}, {"X-A": "1\r\nX-B: 2"}):
                assert (await here.ask(call_id, "transfer", to="200", headers=headers)).status_code == 422

    asyncio.run(story())


@pytest.mark.parametrize(("second_to", "outcome"), [("bad", "unreachable"), ("barred", "refused")])
def test_the_last_of_several_who_does_not_come_gives_the_caller_back_and_each_is_an_event(
    tmp_path: Path, second_to: str, outcome: str
) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            order = {"to": "200", "or_to": [second_to, "300"], "hold": True}
            ticket = (await here.ask(call_id, "transfer", **order)).json()["request_id"]
            here.far.dialled.callee_failed(here.now, "busy", "486 Busy Here")
            await until(lambda: len(here.dialler.legs) == 2)  # nobody is dialled for the second
            assert here.far.request.to == "300"
            assert here.call(call_id).media_path.held
            second = await here.ask(call_id, "transfer", to="400")
            assert second.json()["request_id"] == f"{ticket}.3"
            here.far.dialled.callee_failed(here.now, "declined", "603 Decline")
            assert not here.call(call_id).media_path.held
            found = (await here.web.get(f"/api/calls/{call_id}/transfers/{ticket}")).json()
            assert (found["request_id"], found["to"], found["outcome"]) == (ticket, "300", "declined")
            await line.say(event="hangup")
            await line.hear("ended")
            told = [event["data"] for event in await here.events(call_id)]
            assert [(one["request_id"], one["outcome"]) for one in told] == [
                (ticket, "busy"),
                (f"{ticket}.2", outcome),
                (f"{ticket}.3", "declined"),
            ]

    asyncio.run(story())


def test_a_caller_who_hangs_up_between_two_attempts_ends_them() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            ticket = (await here.ask(call_id, "transfer", to="200", or_to=["300"])).json()["request_id"]
            here.far.dialled.callee_failed(here.now, "busy", "")
            here.call(call_id).end(here.now, EndReason.CALLER_HANGUP, "")
            found = (await here.web.get(f"/api/calls/{call_id}/transfers/{ticket}")).json()
            assert (found["to"], found["outcome"], found["detail"]) == (
                "300",
                "failed",
                "the call is not in progress",
            )
            assert len(here.dialler.legs) == 1

    asyncio.run(story())


def test_a_hold_ends_with_the_transfer_when_the_agent_was_lost_while_it_rang() -> None:
    async def story(*, replaced: bool) -> None:
        live = Live()
        failures: list[str] = []
        order = TransferOrder(to="200", hold=True)
        log = TransferLog(lambda: 0.0)
        Attempts(live.call, order, log, "t", lambda: failures.append("nobody took the caller")).begin()
        live.agent.lose()
        second = live.room.agent("two")
        if replaced:
            second.open_media()
            second.accept()
            assert holds(second) == [True]
        live.far.dialled.callee_failed(live.room.now, "no_answer", "")
        assert not live.call.media_path.held
        await asyncio.sleep(0)
        assert failures == ["nobody took the caller"]
        if not replaced:
            second.take()
        assert holds(second) == ([True, False] if replaced else [])
        assert phase(live.call) is (Phase.SETUP if replaced else Phase.LIVE)

    for replaced in (False, True):
        asyncio.run(story(replaced=replaced))


def test_the_next_destination_is_tried_while_the_agent_is_being_replaced() -> None:
    async def story() -> None:
        live = Live()
        Attempts(live.call, TransferOrder(to="200", or_to=["300"]), TransferLog(lambda: 0.0), "t").begin()
        live.agent.lose()
        live.far.dialled.callee_failed(live.room.now, "busy", "")
        await asyncio.sleep(0)
        assert live.far.request.to == "300"
        live.far.dialled.callee_answered(live.room.now)
        assert phase(live.call) is Phase.BRIDGED

    asyncio.run(story())


def test_attempts_that_something_else_ends_give_the_caller_back() -> None:
    async def story() -> None:
        live = Live()
        failures: list[str] = []
        log = TransferLog(lambda: 0.0)
        order = TransferOrder(to="200", or_to=["300"], hold=True)
        Attempts(live.call, order, log, "t", lambda: failures.append("nobody took the caller")).begin()
        live.far.dialled.callee_failed(live.room.now, "busy", "")
        live.transfer("400")  # the bot asks for it between the two attempts
        await asyncio.sleep(0)
        assert (live.far.request.to, live.call.media_path.held) == ("400", False)
        found = log.find(live.call.call_id, "t.2")
        assert found is not None
        assert (found.to, found.detail) == ("300", "another transfer is under way")
        await asyncio.sleep(0)
        assert failures == ["nobody took the caller"]

    asyncio.run(story())


def test_a_transfer_behind_prompts_is_made_while_the_agent_is_being_replaced() -> None:
    async def story() -> None:
        live = Live()

        async def read(answer: bytes) -> None:
            raise AssertionError("no receiver was asked")

        order = PromptOrder.model_validate({"steps": [{"keys": {"most": 1}}], "transfer": {"to": "200"}})
        prompts = [Prompt(keys=KeyRules())]
        PromptRun(live.call, TransferLog(lambda: 0.0), read).begin(order, prompts)
        live.agent.lose()
        assert phase(live.call) is Phase.OFFERING
        live.leg.listener.caller_dtmf("1")
        assert live.far.request.to == "200"
        live.far.dialled.callee_answered(live.room.now)
        assert phase(live.call) is Phase.BRIDGED

    asyncio.run(story())


def test_outcomes_are_kept_for_a_while_and_no_more_of_them_than_there_is_room_for() -> None:
    now = 0.0
    log = TransferLog(lambda: now)
    log.on_event(transferred("a"))
    now = KEPT_S - 1
    found = log.find("c", "a")
    assert found is not None
    assert found.outcome == "busy"
    now = KEPT_S
    assert log.find("c", "a") is None
    for number in range(MOST_KEPT + 1):
        log.on_event(transferred(str(number)))
    assert log.find("c", "0") is None
    assert log.find("c", "1") is not None
