"""Calls as the API tells of them: under way and past, with and without a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.models import CallDetail, CallPage, CallRecord, RecordsUnavailable
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, bearer, caller, config
from tests.support.web import API_KEY, client

keeping = pytest.mark.parametrize("records", [True, False], ids=["database", "memory"])


@asynccontextmanager
async def place(
    folder: Path, **settings: Any
) -> AsyncIterator[tuple[Gateway, ScriptedAgent, httpx.AsyncClient]]:
    """A gateway with an agent, and an operator's client."""
    settings = {"api_keys": [API_KEY], "data_folder": folder, **settings}
    async with Gateway(config(**settings)) as gateway, agent(gateway) as one, client(gateway) as web:
        await gateway.ready()
        yield gateway, one, web


async def talk(one: ScriptedAgent, line: Peer) -> tuple[str, dict[str, Any], Peer]:
    """The caller's call is answered: its id, the offer, and the media stream."""
    call_id = str((await line.hear("ringing"))["call_id"])
    offer, media = await one.take()
    await line.hear("answered")
    return call_id, offer, media


async def detail(web: httpx.AsyncClient, call_id: str) -> CallDetail:
    answer = await web.get(f"/api/calls/{call_id}")
    assert answer.status_code == 200, answer.text
    return CallDetail.model_validate(answer.json())


async def page(web: httpx.AsyncClient, **query: Any) -> CallPage:
    answer = await web.get("/api/calls", params=query)
    assert answer.status_code == 200, answer.text
    return CallPage.model_validate(answer.json())


@keeping
def test_a_call_is_told_of_while_it_lasts_and_afterwards(tmp_path: Path, records: bool) -> None:
    async def story() -> None:
        async with place(tmp_path, records=records) as (_, one, web):
            async with caller(
                web_gateway(web), from_number="+1", to_number="+2", metadata={"a": [1]}
            ) as line:
                call_id, offer, _ = await talk(one, line)
                said = {"text": "A table for four."}
                await one.say(type="event", call_id=call_id, at=0.5, event="user_turn", data=said)
                await line.hear("conversation")
                live = (await detail(web, call_id)).call
                assert (live.phase, live.ended_at, live.reason) == ("live", None, None)
                assert (live.agent_id, live.instance_id, live.kind) == (AGENT_ID, "one", "stream")
                assert (live.from_number, live.to_number, live.metadata) == ("+1", "+2", {"a": [1]})
                assert (await page(web)).calls[0].call_id == call_id
                await one.hangup(offer, detail="goodbye")
                await line.hear("ended")
            over = await detail(web, call_id)
            assert (over.call.phase, over.call.reason, over.call.detail) == (
                "ended",
                "agent_hangup",
                "goodbye",
            )
            assert over.call.answered_at is not None
            assert over.call.ended_at is not None
            length = (over.call.ended_at - over.call.answered_at).total_seconds()
            assert over.call.duration_s == pytest.approx(length, abs=1e-3)
            if records:
                assert [(event.event, event.data) for event in over.events] == [("user_turn", said)]

    asyncio.run(story())


def web_gateway(web: httpx.AsyncClient) -> Any:
    """What `caller` needs of a gateway: where it is."""

    class Address:
        url = f"ws://{web.base_url.host}:{web.base_url.port}"

    return Address


@keeping
def test_pages_go_back_from_the_latest_and_can_be_filtered(tmp_path: Path, records: bool) -> None:
    async def story() -> None:
        async with place(tmp_path, records=records) as (gateway, one, web):
            ids = []
            for _ in range(5):
                async with caller(gateway) as line:
                    call_id, offer, _ = await talk(one, line)
                    ids.append(call_id)
                    await one.hangup(offer)
                    await line.hear("ended")
            async with caller(gateway) as line:
                live_id, _, _ = await talk(one, line)
                assert [call.call_id for call in (await page(web, phase="live")).calls] == [live_id]
                seen: list[str] = []
                before: dict[str, str] = {}
                for size in (2, 2, 2):
                    some = await page(web, limit=2, **before)
                    assert len(some.calls) == size
                    seen += [call.call_id for call in some.calls]
                    before = {"before": some.next} if some.next else {}
                assert (seen, before) == ([live_id, *reversed(ids)], {})
                assert len((await page(web, phase="ended", kind="stream", agent_id=AGENT_ID)).calls) == 5
                assert (await page(web, kind="phone")).calls == []
                assert (await page(web, agent_id="nobody")).calls == []

    asyncio.run(story())


@keeping
def test_a_parameter_that_is_none_is_422(tmp_path: Path, records: bool) -> None:
    async def story() -> None:
        async with place(tmp_path, records=records) as (_, _, web):
            for query in (
                {"limit": 0},
                {"limit": 201},
                {"kind": "fax"},
                {"phase": "late"},
                {"before": "rubbish"},
            ):
                answer = await web.get("/api/calls", params=query)
                assert answer.status_code == 422, query
                assert next(iter(query)) in answer.json()["error"]

    asyncio.run(story())


@keeping
def test_a_call_is_hung_up_once(tmp_path: Path, records: bool) -> None:
    async def story() -> None:
        async with place(tmp_path, records=records) as (gateway, one, web), caller(gateway) as line:
            call_id, _, _ = await talk(one, line)
            answer = await web.post(f"/api/calls/{call_id}/hangup")
            assert answer.status_code == 200
            record = CallRecord.model_validate(answer.json())
            assert (record.phase, record.reason) == ("ended", "agent_hangup")
            ended = await line.hear("ended")
            assert (ended["reason"], ended["detail"]) == ("agent_hangup", "hung up from the console")
            assert (await one.hear("ended"))["reason"] == "agent_hangup"
            answer = await web.post(f"/api/calls/{call_id}/hangup")
            assert (answer.status_code, answer.json()["error"]) == (409, f"call {call_id!r} is over already")
            answer = await web.post("/api/calls/unknown/hangup")
            assert (answer.status_code, answer.json()["error"]) == (404, "there is no call 'unknown'")

    asyncio.run(story())


def test_a_call_of_an_earlier_gateway_is_known_and_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path, records=True) as (gateway, one, web), caller(gateway) as line:
            call_id, _, _ = await talk(one, line)
        async with place(tmp_path, records=True) as (_, _, web):
            assert (await detail(web, call_id)).call.phase == "ended"
            assert (await web.post(f"/api/calls/{call_id}/hangup")).status_code == 409

    asyncio.run(story())


@keeping
def test_a_recording_is_served_and_in_parts(tmp_path: Path, records: bool) -> None:
    async def story() -> None:
        async with place(tmp_path, records=records, record=True) as (gateway, one, web):
            async with caller(gateway) as line:
                call_id, offer, media = await talk(one, line)
                address = f"/api/calls/{call_id}/recording"
                await line.socket.send(b"\x01\x00" * 1600)
                await media.hear_audio(1)
                answer = await web.get(address)
                assert (answer.status_code, "no recording" in answer.json()["error"]) == (404, True)
                await one.hangup(offer)
                await line.hear("ended")
            for _ in range(500):
                if (answer := await web.get(address)).status_code != 404:
                    break
                await asyncio.sleep(0.02)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "audio/wav"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.content[:4] == b"RIFF"
            part = await web.get(address, headers={"Range": "bytes=8-11"})
            assert (part.status_code, part.content) == (206, b"WAVE")
            assert part.headers["content-range"] == f"bytes 8-11/{len(answer.content)}"
            beyond = await web.get(address, headers={"Range": f"bytes={len(answer.content)}-"})
            assert beyond.status_code == 416
            if records:
                assert (await detail(web, call_id)).call.recorded

    asyncio.run(story())


def test_nothing_of_calls_is_told_without_a_key(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path, records=False) as (gateway, one, _), caller(gateway) as line:
            call_id, _, _ = await talk(one, line)
            async with client(gateway, key=None) as web:
                for headers in ({}, bearer("wrong")):
                    for method, path in (
                        ("GET", "/api/calls"),
                        ("GET", f"/api/calls/{call_id}"),
                        ("GET", f"/api/calls/{call_id}/recording"),
                        ("POST", f"/api/calls/{call_id}/hangup"),
                        ("POST", "/api/tokens"),
                    ):
                        answer = await web.request(method, path, headers=headers)
                        assert answer.status_code == 401, path
                        assert answer.headers["www-authenticate"] == "Bearer"
                        assert list(answer.json()) == ["error"]
            assert gateway.switchboard.call(call_id) is not None

    asyncio.run(story())


def test_whoever_asks_while_the_database_is_away_is_told_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise RecordsUnavailable("the database is away")

    for query in ("page", "detail", "recording_path"):
        monkeypatch.setattr(Records, query, away)

    async def story() -> None:
        async with place(tmp_path, records=True) as (_, _, web):
            for path in ("", "/lost", "/lost/recording", "/lost/transfers/t"):
                answer = await web.get(f"/api/calls{path}")
                assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1"), path

    asyncio.run(story())
