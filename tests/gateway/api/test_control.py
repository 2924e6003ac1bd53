"""Calls that go out, and what can be done with a call in progress, over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.api.control import MESSAGE_LIMIT
from piopiy_pipeline.gateway.api.idempotency import KEPT, KEPT_S, IdempotencyStore, KeyReused
from piopiy_pipeline.gateway.api.models import CallOrder
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallRecord
from tests.support.api_place import ORDER, place, problem
from tests.support.gateway_peers import AGENT_ID, agent, caller, config, until
from tests.support.web import client

# ---------------------------------------------------------------------- calls that go out


def test_a_call_is_dialled_answered_and_talks_to_the_agent(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here:
            more: dict[str, Any] = {"from": "100", "metadata": {"order": 7}, "ring_timeout_s": 20}
            answer = await here.order(**more, max_duration_s=60)
            assert answer.status_code == 201
            record = CallRecord.model_validate(answer.json())
            assert (record.phase, record.kind, record.agent_id) == ("dialling", "phone", AGENT_ID)
            assert (record.from_number, record.to_number) == ("100", "+15550123")
            assert record.metadata == {"order": 7}
            request = here.far.request
            assert (request.to, request.from_number, request.ring_timeout_s) == ("+15550123", "100", 20)
            assert here.call(record.call_id).options.max_duration_s == 60
            here.far.dialled.callee_answered(here.now)
            offer, _ = await here.agent.take()
            assert (offer["call_id"], offer["metadata"]) == (record.call_id, {"order": 7})
            await until(lambda: here.call(record.call_id).phase is Phase.LIVE)
            ended = await here.ask(record.call_id, "hangup")
            assert ended.json()["reason"] == "agent_hangup"
            assert here.far.ended is not None

    asyncio.run(story())


def test_the_same_key_dials_once_and_another_body_with_it_is_refused() -> None:
    async def story() -> None:
        async with place(dials_per_minute=2) as here:
            first = await here.order("k", metadata={"a": 1, "b": 2})
            again = await here.order("k", metadata={"b": 2, "a": 1})
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["idempotent-replayed"] == "true"
            assert "idempotent-replayed" not in first.headers
            status, text = problem(await here.order("k", metadata={"a": 2}))
            assert (status, text.partition(":")[0]) == (422, "Idempotency-Key")
            assert len(here.dialler.legs) == 1
            other = await here.web.post(
                "/api/calls",
                json={**ORDER, "metadata": {"a": 2}},
                headers={"Idempotency-Key": "k", "Authorization": "Bearer another-key"},
            )
            assert other.status_code == 201, "keys of one operator are not another's"

    asyncio.run(story())


def test_what_was_refused_may_be_tried_again_with_its_key() -> None:
    async def story() -> None:
        async with place(max_calls=1) as here, caller(here.gateway) as line:
            await here.answered(line)
            refused = await here.order("k")
            assert problem(refused) == (503, "not more than 1 call at a time: try again later")
            assert refused.headers["retry-after"] == "1"
            await line.say(event="hangup")
            await until(lambda: not here.gateway.switchboard.snapshot().calls)
            assert (await here.order("k")).status_code == 201

    asyncio.run(story())


def test_who_cannot_be_called_is_told_with_a_sentence() -> None:
    async def story() -> None:
        async with place() as here:
            assert problem(await here.order(to="bad")) == (422, "'bad' is no number")
            status, text = problem(await here.order(agent_id="nobody"))
            assert (status, text) == (404, "this gateway has no agent 'nobody'")
            here.gateway.switchboard.resources.dialler = Gateway(config()).switchboard.resources.dialler
            status, text = problem(await here.order())
            assert status == 409
            assert "configure a trunk" in text
            await here.agent.socket.close()
            await until(lambda: not here.gateway.switchboard.instances.of(AGENT_ID))
            refused = await here.order()
            status, text = problem(refused)
            assert (status, refused.headers["retry-after"]) == (503, "1")
            assert text.startswith("no instance of agent")

    asyncio.run(story())


@pytest.mark.parametrize("key", [None, "k"])
def test_an_order_waits_for_an_instance_that_has_a_place(key: str | None) -> None:
    async def story() -> None:
        async with place() as here:
            one = here.gateway.switchboard.instances.of(AGENT_ID)[0]
            await here.agent.say(type="status", active=10, capacity=10)
            await until(lambda: not one.takes_calls)
            order = asyncio.create_task(here.order(key))
            waiting = here.gateway.switchboard.resources.waiting
            await until(lambda: waiting.waits_for(AGENT_ID))
            assert not here.dialler.legs
            await here.agent.say(type="status", active=9, capacity=10)
            assert (await order).status_code == 201
            assert (len(here.dialler.legs), waiting.waits_for(AGENT_ID)) == (1, False)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"to": ""}, "body.to"),
        ({"to": "1\r\nX-Evil: 1"}, "body.to"),
        ({"from": "1\n2"}, "body.from"),
        ({"from_number": "1"}, "body.from_number"),
        ({"ring_timeout_s": 301}, "body.ring_timeout_s"),
        ({"max_duration_s": 0}, "body.max_duration_s"),
        ({"metadata": []}, "body.metadata"),
        ({"colour": "red"}, "body.colour"),
    ],
)
def test_an_order_that_is_none_is_422_and_dials_nobody(body: dict[str, Any], where: str) -> None:
    async def story() -> None:
        async with place() as here:
            status, text = problem(await here.order(**body))
            assert status == 422
            assert where in text
            for number in ("NaN", "1e999"):
                text = f'{{"agent_id": "front-desk", "to": "1", "metadata": {{"a": {number}}}}}'
                answer = await here.web.post("/api/calls", content=text)
                assert answer.status_code == 422
            assert here.dialler.legs == []

    asyncio.run(story())


def test_only_operators_dial_and_control() -> None:
    async def story() -> None:
        async with place() as here:
            token = (await here.web.post("/api/tokens", json={"agent_id": AGENT_ID})).json()["token"]
            for key in (None, "wrong", token):
                async with client(here.gateway, key=key) as stranger:
                    assert (await stranger.post("/api/calls", json=ORDER)).status_code == 401
                    for what in ("hangup", "transfer", "dtmf", "hold", "mute", "record", "message"):
                        assert (await stranger.post(f"/api/calls/x/{what}", json={})).status_code == 401
            assert here.dialler.legs == []

    asyncio.run(story())


def test_a_refused_order_is_told_how_long_it_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdempotencyStore, "wait_s", lambda *_: 6.2)

    async def story() -> None:
        async with place() as here:
            refused = await here.order()
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")

    asyncio.run(story())


def test_a_key_dials_no_more_than_its_rate_and_is_told_when() -> None:
    async def story() -> None:
        async with place(dials_per_minute=1) as here:
            assert (await here.order("k")).status_code == 201
            refused = await here.order()
            assert problem(refused)[0] == 429
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert (await here.order("k")).status_code == 201, "an answer from before dials nobody"
            other = await here.web.post(
                "/api/calls", json=ORDER, headers={"Authorization": "Bearer another-key"}
            )
            assert other.status_code == 201, "another key has its own"

    asyncio.run(story())


def test_in_any_minute_no_more_are_dialled_than_the_limit_says() -> None:
    orders = IdempotencyStore(per_minute=2)
    assert [orders.wait_s("a", now) for now in (0.0, 20.0, 30.0, 59.0)] == [0, 0, 30, 1]
    assert orders.wait_s("b", 30.0) == 0
    assert [orders.wait_s("a", now) for now in (60.0, 61.0, 80.0)] == [0, 19, 0]


def test_keys_are_remembered_for_a_day_and_no_more_of_them_than_there_is_room_for() -> None:
    orders = IdempotencyStore(per_minute=60)
    order, other = CallOrder(agent_id="a", to="1"), CallOrder(agent_id="a", to="2")
    record = CallRecord(
        call_id="c", agent_id="a", instance_id=None, kind="phone", from_number=None, to_number="1",
        phase=Phase.DIALLING, placed_at="2027-01-15T08:00:00Z",  # type: ignore[arg-type]  # pydantic reads it
    )  # fmt: skip
    orders.keep("w", "k", order, record, 0.0)
    assert orders.answer("w", "k", order, KEPT_S - 1) is record
    with pytest.raises(KeyReused):
        orders.answer("w", "k", other, KEPT_S - 1)
    assert orders.answer("w", "k", other, KEPT_S) is None
    for number in range(KEPT + 1):
        orders.keep("w", str(number), order, record, KEPT_S)
    assert orders.answer("w", "0", order, KEPT_S) is None
    assert orders.answer("w", "1", order, KEPT_S) is record


# ---------------------------------------------------------------------- control


def test_a_transfer_begins_and_its_outcome_is_an_event_on_the_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            answer = await here.ask(call_id, "transfer", to="200", summary="wants a table")
            assert answer.status_code == 202
            ticket = answer.json()["request_id"]
            assert here.far.request.headers == {"X-Call-Summary": "wants a table"}
            status, text = problem(await here.ask(call_id, "transfer", to="300"))
            assert (status, text) == (409, "another transfer is under way")
            assert (await here.ask(call_id, "hold")).status_code == 204
            here.far.dialled.callee_failed(here.now, "busy", "486 Busy Here")
            second = (await here.ask(call_id, "transfer", to="300", warm=False)).json()["request_id"]
            here.far.dialled.callee_answered(here.now)
            assert here.call(call_id).phase is Phase.BRIDGED
            assert (await here.agent.hear("ended"))["reason"] == "transferred"
            assert problem(await here.ask(call_id, "transfer", to="400")) == (
                409,
                f"call {call_id!r} is not in progress: it is bridged",
            )
            await line.say(event="hangup")
            await line.hear("ended")
            events = await here.events(call_id)
            assert [event["event"] for event in events] == ["transfer", "transfer"]
            first = {"request_id": ticket, "to": "200", "warm": True, "outcome": "busy"}
            assert events[0]["data"] == {**first, "detail": "486 Busy Here"}
            assert (events[1]["data"]["request_id"], events[1]["data"]["outcome"]) == (second, "bridged")

    asyncio.run(story())


def test_keys_are_pressed_for_the_caller() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            assert (await here.ask(call_id, "dtmf", digits="12#")).status_code == 204
            assert (await line.hear("dtmf"))["digits"] == "12#"
            assert (await here.ask(call_id, "dtmf", digits="call me")).status_code == 422

    asyncio.run(story())


def test_hold_mute_and_record_are_switched_on_and_off(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(data_folder=tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            sound = here.call(call_id).media_path
            for what in ("hold", "mute", "record"):
                bare = await here.web.post(f"/api/calls/{call_id}/{what}")
                assert (bare.status_code, bare.content) == (204, b"")
            assert (sound.held, sound.muted, sound.tap is not None) == (True, True, True)
            for what in ("hold", "mute", "record"):
                assert (await here.ask(call_id, what, on=False)).status_code == 204
            assert (sound.held, sound.muted, sound.tap) == (False, False, None)

    asyncio.run(story())


def test_a_recording_that_cannot_be_begun_is_told() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)

            class Full:
                def begin(self, info: object, rate: int) -> None:
                    return None

            here.gateway.switchboard.resources.recordings = Full()
            assert problem(await here.ask(call_id, "record"))[0] == 503

    asyncio.run(story())


def test_messages_go_to_the_callers_application_or_to_the_bot() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, media = await here.answered(line)
            assert (await here.ask(call_id, "message", data={"show": "menu"})).status_code == 204
            assert (await line.hear("message"))["data"] == {"show": "menu"}
            assert (await here.ask(call_id, "message", data={"paid": True}, to="bot")).status_code == 204
            assert (await media.hear("message"))["data"] == {"paid": True}
            large = {"x": "x" * MESSAGE_LIMIT}
            assert problem(await here.ask(call_id, "message", data=large))[0] == 413

    asyncio.run(story())


def test_a_call_without_an_agent_has_no_bot_that_takes_messages(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "menu.wav", np.full(8000, 8000, dtype=np.int16), 8000)

    async def story() -> None:
        async with place(prompts_folder=tmp_path) as here:
            prompts = {"steps": [{"file": "menu.wav"}], "hangup": True}
            call_id = (await here.order(agent_id=None, prompts=prompts)).json()["call_id"]
            here.far.dialled.callee_answered(here.now)
            await until(lambda: here.call(call_id).phase is Phase.LIVE)
            status, text = problem(await here.ask(call_id, "message", data={}, to="bot"))
            assert (status, text) == (409, "this call has no agent that would take messages")

    asyncio.run(story())


def test_a_telephone_has_no_application_and_a_call_that_only_rings_cannot_be_controlled() -> None:
    async def story() -> None:
        async with place() as here:
            call_id = (await here.order()).json()["call_id"]
            for what, body in (
                ("transfer", {"to": "1"}),
                ("dtmf", {"digits": "1"}),
                ("hold", {}),
                ("mute", {}),
                ("record", {}),
                ("message", {"data": {}}),
            ):
                status, text = problem(await here.ask(call_id, what, **body))
                assert (status, text) == (409, f"call {call_id!r} is not in progress: it is dialling")
            here.far.dialled.callee_answered(here.now)
            await here.agent.take()
            await until(lambda: here.call(call_id).phase is Phase.LIVE)
            status, text = problem(await here.ask(call_id, "message", data={}))
            assert (status, text.partition(",")[0]) == (409, "the caller has a telephone")
            assert (await here.ask(call_id, "dtmf", digits="1")).status_code == 204
            assert "dtmf 1" in here.far.notes

    asyncio.run(story())


def test_calls_that_are_over_or_unknown_are_told_apart() -> None:
    async def story() -> None:
        async with place() as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            await here.ask(call_id, "hangup")
            assert problem(await here.ask(call_id, "mute")) == (409, f"call {call_id!r} is over already")
            assert problem(await here.ask("nothing", "mute")) == (404, "there is no call 'nothing'")

    asyncio.run(story())


def test_what_is_ordered_while_another_instance_is_looked_for_holds_for_that_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "menu.wav", np.full(800, 8000, dtype=np.int16), 8000)

    async def story() -> None:
        async with place(prompts_folder=tmp_path) as here, caller(here.gateway) as line:
            call_id, _ = await here.answered(line)
            here.agent.die()
            await until(lambda: here.call(call_id).phase is Phase.OFFERING)
            for what, body in (
                ("mute", {}),
                ("record", {}),
                ("record", {"on": False}),
                ("dtmf", {"digits": "1"}),
                ("message", {"data": {"to": "page"}}),
                ("message", {"data": {"paid": True}, "to": "bot"}),
                ("hold", {}),
            ):
                assert (await here.ask(call_id, what, **body)).status_code == 204, what
            played = await here.ask(call_id, "prompts", steps=[{"file": "menu.wav"}])
            assert played.status_code == 202
            await until(lambda: here.call(call_id).control.prompts is None)
            assert (await here.ask(call_id, "transfer", to="200")).status_code == 202
            here.far.dialled.callee_failed(here.now, "busy", "")
            async with agent(here.gateway, "two") as second:
                _, media = await second.take()
                assert (await media.hear("message"))["data"] == {"paid": True}
                assert (await second.hear("control"))["on"] is True
                assert here.call(call_id).media_path.muted

    asyncio.run(story())
