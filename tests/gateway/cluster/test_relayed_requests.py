"""Requests for calls that are at another gateway: real gateways with their API, and a directory in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.request_seal import FRESH_S, RequestSeal
from piopiy_pipeline.gateway.api import relay
from piopiy_pipeline.gateway.cluster import cluster_calls
from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker, MemoryDirectory
from piopiy_pipeline.signaling.messages import Register
from tests.support.gateway_peers import AGENT_ID, Peer, agent, caller, config, until
from tests.support.switchboard import NotedDialler
from tests.support.web import API_KEY, client


@asynccontextmanager
async def clustered(
    number: int, broker: MemoryBroker, keys: dict[int, str] | None = None
) -> AsyncIterator[list[Gateway]]:
    """Gateways that know each other, named a, b, c."""
    async with AsyncExitStack() as stack:
        gateways = []
        for index in range(number):
            settings = config(api_keys=[(keys or {}).get(index, API_KEY)])
            gateway = await stack.enter_async_context(Gateway(settings))
            name = "abcdef"[index]
            cluster = Cluster(name, gateway.url, gateway.switchboard, MemoryDirectory(broker, name))
            assert gateway._services is not None
            gateway._services.link.join(cluster)
            gateway._cluster = cluster
            await cluster.open()
            gateways.append(gateway)
        loop = asyncio.get_running_loop()
        await until(
            lambda: all(
                one.cluster is not None and len(one.cluster.others.there(loop.time())) == number - 1
                for one in gateways
            )
        )
        yield gateways


async def seen(web: httpx.AsyncClient, call_id: str, **state: Any) -> None:
    """Wait until the list of all calls has this call in this state."""
    for _ in range(200):
        answer = (await web.get("/api/cluster/calls")).json()
        for call in answer["calls"]:
            if call["call_id"] == call_id and all(call[name] == value for name, value in state.items()):
                return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{call_id} is not {state} in {answer}")


def test_a_call_at_another_gateway_is_seen_held_muted_told_of_and_hung_up_from_here() -> None:
    async def story() -> None:
        async with (
            clustered(3, MemoryBroker()) as (here, _, there),
            agent(there) as one,
            client(here) as web,
            caller(there, from_number="+1") as line,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            await seen(web, call_id, gateway="c", phase="live", from_number="+1", held=False)
            detail = (await web.get(f"/api/calls/{call_id}")).json()
            assert detail["call"]["phase"] == "live"
            assert (await web.post(f"/api/calls/{call_id}/hold")).status_code == 204
            assert (await web.post(f"/api/calls/{call_id}/mute", json={"on": True})).status_code == 204
            await seen(web, call_id, held=True, muted=True)
            assert (await web.post(f"/api/calls/{call_id}/hold", json={"on": False})).status_code == 204
            await seen(web, call_id, held=False)
            refused = await web.post(f"/api/calls/{call_id}/dtmf", json={"digits": "!"})
            assert refused.status_code == 422
            assert "digits" in refused.json()["error"]
            recording = await web.get(f"/api/calls/{call_id}/recording")
            assert recording.status_code == 409
            assert "'c'" in recording.json()["error"]
            over = await web.post(f"/api/calls/{call_id}/hangup")
            assert over.json()["reason"] == "agent_hangup"
            await line.hear("ended")
            again = await web.post(f"/api/calls/{call_id}/hangup")
            assert again.status_code == 409
            nothing = await web.get("/api/calls/nobody-has-this")
            assert nothing.status_code == 404

    asyncio.run(story())


def test_what_a_gateway_of_another_version_refuses_is_told_with_both_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> tuple[str, str]:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            client(here) as web,
            caller(there) as line,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            await seen(web, call_id, gateway="b", phase="live")
            order = {"steps": [{"file": "menu.wav", "volume": 3}]}
            same = await web.post(f"/api/calls/{call_id}/prompts", json=order)
            monkeypatch.setattr(relay, "__version__", "9.1.0")
            another = await web.post(f"/api/calls/{call_id}/prompts", json=order)
            assert same.status_code == another.status_code == 422
            return same.json()["error"], another.json()["error"]

    same, another = asyncio.run(story())
    assert "volume" in same
    assert another.startswith(same)
    assert f"gateway 'b', which has the call, is of version {__version__}" in another
    assert "asked of 9.1.0" in another


def test_a_chat_at_another_gateway_is_written_to_from_here_and_read_there() -> None:
    async def story() -> None:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            client(here) as web,
            client(there) as at_home,
        ):
            begun = await at_home.post("/api/chats", json={"agent_id": AGENT_ID})
            call_id = begun.json()["call_id"]
            _, media = await one.take()
            await seen(web, call_id, gateway="b", phase="live")
            said = {"event": "text", "text": "Hello!"}
            taken = await web.post(f"/api/chats/{call_id}/messages", json=said)
            assert taken.status_code == 202
            text = await media.hear_where(lambda each: each["data"].get("type") == "send-text", "text")
            assert text["data"]["data"] == {"content": "Hello!"}
            events = await web.get(f"/api/chats/{call_id}/events")
            assert events.status_code == 409
            assert there.url in events.json()["error"]

    asyncio.run(story())


def test_what_is_said_in_a_call_at_another_gateway_is_shown_here_while_it_is_said() -> None:
    async def story() -> None:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            caller(there) as line,
            connect(f"{here.url}/api/events", proxy=None) as socket,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            watcher = Peer(socket)
            await watcher.say(type="watch", key=API_KEY, calls=[call_id])
            await watcher.hear("hello")
            told = await watcher.hear("call")
            assert (told["call"]["call_id"], told["call"]["phase"]) == (call_id, "live")
            await one.say(type="event", call_id=call_id, at=0.5, event="user_turn", data={"text": "Four."})
            event = await watcher.hear("event")
            assert (event["call_id"], event["event"], event["data"]) == (
                call_id,
                "user_turn",
                {"text": "Four."},
            )
            await line.say(type="hangup")
            ended = await watcher.hear_where(
                lambda message: message.get("type") == "call" and message["call"]["phase"] == "ended", "end"
            )
            assert ended["call"]["reason"] == "caller_hangup"

    asyncio.run(story())


def test_a_call_that_is_watched_from_elsewhere_ends_with_its_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_calls, "RENEW_S", 0.2)

    async def story() -> None:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            caller(there) as line,
            connect(f"{here.url}/api/events", proxy=None) as socket,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            watcher = Peer(socket)
            await watcher.say(type="watch", key=API_KEY, calls=[call_id])
            await watcher.hear("call")
            assert here.cluster is not None
            assert there.cluster is not None
            there.cluster._directory.leave()  # type: ignore[attr-defined]
            here.cluster.others._forget("b")  # as if it had expired
            ended = await watcher.hear("call")
            assert (ended["call"]["phase"], ended["call"]["reason"]) == ("ended", "gateway_lost")

    asyncio.run(story())


def test_one_request_too_many_for_other_gateways_may_come_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MOST_WAITING", 0)

    async def story() -> None:
        async with clustered(2, MemoryBroker()) as (here, _), client(here) as web:
            busy = await web.get("/api/cluster?gateway=b")
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")

    asyncio.run(story())


def test_a_gateway_that_does_not_know_yet_how_it_is_may_be_asked_soon() -> None:
    async def story() -> None:
        async with clustered(1, MemoryBroker()) as [here], client(here) as web:
            assert here._services is not None
            here._services.link.health = None  # as before it listens
            early = await web.get("/api/cluster")
            assert (early.status_code, early.headers["retry-after"]) == (503, "1")

    asyncio.run(story())


def test_a_request_names_the_gateway_that_is_meant() -> None:
    async def story() -> None:
        async with clustered(2, MemoryBroker()) as (here, there), agent(there), client(here) as web:
            info = (await web.get("/api/cluster")).json()
            assert [(one["gateway"], one["here"], one["state"]) for one in info["gateways"]] == [
                ("a", True, "serving"),
                ("b", False, "serving"),
            ]
            drained = await web.post(f"/api/agents/{AGENT_ID}/drain?gateway=b", json={})
            assert drained.json() == {"gateway": "b", "instances": ["one"], "active": 0}
            assert not there.switchboard.instances.any_free(AGENT_ID)
            assert (await web.get("/api/cluster?gateway=b")).json()["gateway"] == "b"
            [one] = there.switchboard.instances.of(AGENT_ID)
            there.switchboard.instances.remove(one)  # as if it had lost its connection
            path = f"/api/agents/{AGENT_ID}/drain?gateway=b"
            assert (await web.post(path, json={})).status_code == 404
            again = await web.post(path, json={"on": False})
            assert again.json() == {"gateway": "b", "instances": [], "active": 0}
            assert (await web.post(path, json={"on": False})).status_code == 404
            registration = Register(agent_id=AGENT_ID, instance_id=one.instance_id, capacity=2)
            there.switchboard.register(registration, one.link, asyncio.get_running_loop().time())
            assert there.switchboard.instances.any_free(AGENT_ID)
            assert (await web.post(f"/api/agents/{AGENT_ID}/drain", json={})).status_code == 404
            order = {"agent_id": AGENT_ID, "to": "+15550123"}
            dialled = await web.post("/api/calls?gateway=b", json=order, headers={"Idempotency-Key": "1"})
            assert dialled.status_code == 409, "there it gets as far as the trunk that is missing"
            assert "no way out" in dialled.json()["error"]
            unknown = await web.get("/api/cluster?gateway=z")
            assert unknown.status_code == 502
            assert "'z'" in unknown.json()["error"]

    asyncio.run(story())


def test_a_key_that_is_not_one_of_the_other_gateways_is_refused_there() -> None:
    async def story() -> None:
        async with (
            clustered(2, MemoryBroker(), {1: "another-key"}) as (here, there),
            agent(there) as one,
            client(here) as web,
            client(here, key=None) as stranger,
            caller(there) as line,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            refused = await web.post(f"/api/calls/{call_id}/hangup")
            assert refused.status_code == 403
            assert "same api_keys" in refused.json()["error"]
            assert (await stranger.post(f"/api/calls/{call_id}/hangup")).status_code == 401
            assert there.switchboard.call(call_id) is not None

    asyncio.run(story())


def test_a_gateway_that_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "RELAY_S", 0.1)

    async def story() -> None:
        broker = MemoryBroker()
        async with clustered(2, broker) as (here, _), client(here) as web:
            broker.sides = {"b": 1}
            answer = await web.get("/api/cluster?gateway=b")
            assert answer.status_code == 504
            assert "'b' did not answer" in answer.json()["error"]

    asyncio.run(story())


def test_the_trends_of_all_gateways_are_their_sums() -> None:
    async def story() -> None:
        broker = MemoryBroker()
        async with clustered(2, broker) as (here, there), client(here) as web:
            for gateway in (here, there, there):
                async with agent(gateway) as one, caller(gateway) as line:
                    call_id = str((await line.hear("ringing"))["call_id"])
                    offer, _ = await one.take()
                    await line.hear("answered")
                    await one.say(
                        type="event", call_id=call_id, at=0.5, event="latency", data={"total_s": 0.75}
                    )
                    await line.hear("conversation")
                    await one.hangup(offer)
                    await line.hear("ended")
            trends = (await web.get("/api/cluster/trends")).json()
            assert trends["gateways"] == ["a", "b"]
            assert sum(one["placed"] for one in trends["counts"]) == 3
            assert sum(one["ended"].get("agent_hangup", 0) for one in trends["counts"]) == 3
            answered = trends["counts"][-1]["voice_to_voice"]
            assert 0.7 < answered["p50_s"] <= 0.8
            broker.down = True
            alone = (await web.get("/api/cluster/trends")).json()
            assert (alone["gateways"], alone["missing"]) == (["a"], ["b"])

    asyncio.run(story())


def test_the_first_question_waits_for_how_the_others_are_or_says_that_it_does_not_know() -> None:
    async def story() -> None:
        broker = MemoryBroker()
        async with (
            clustered(3, broker) as (here, there, _),
            agent(there) as one,
            client(here) as web,
            client(there) as their_web,
        ):
            assert (await their_web.post(f"/api/agents/{AGENT_ID}/drain", json={})).status_code == 200
            info = (await web.get("/api/cluster")).json()
            assert info["whole"]
            assert all(one["max_calls"] is not None for one in info["gateways"])
            assert [(home["gateway"], home["draining"]) for home in info["agents"]] == [("b", 1)]
            broker.loses = lambda: True  # what is told of calls and health
            info = (await their_web.get("/api/cluster")).json()
            assert not info["whole"]
            assert len(info["gateways"]) == 3
            assert one is not None

    asyncio.run(story())


def test_a_gateway_that_is_alone_is_a_cluster_of_one() -> None:
    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway) as one,
            client(gateway) as web,
            caller(gateway) as line,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            info = (await web.get("/api/cluster")).json()
            assert (info["clustered"], len(info["gateways"])) == (False, 1)
            assert info["gateways"][0]["calls"] == 1
            assert info["whole"]
            [home] = info["agents"]
            assert (home["agent_id"], home["instances"], home["active"]) == (AGENT_ID, 1, 1)
            calls = (await web.get("/api/cluster/calls")).json()
            assert [one["call_id"] for one in calls["calls"]] == [call_id]
            assert calls["whole"]
            assert (await web.get("/api/cluster/trends")).json()["counts"][0]["placed"] == 1
            assert (await web.post(f"/api/agents/{AGENT_ID}/drain", json={})).json()["active"] == 1
            assert (await web.get("/api/cluster")).json()["agents"][0]["draining"] == 1

    asyncio.run(story())


def test_a_seal_is_good_once_for_one_request_and_not_for_long() -> None:
    seal = RequestSeal(["one", "two"], is_open=False)
    good = RequestSeal.make("two", b"request")

    def key_of(given: str, request: bytes = b"request", *, number: int, sent_at: float = 100.0) -> str | None:
        return seal.key_of(given, request, request_id=f"{number}", sent_at=sent_at, unix_now=110.0)

    assert key_of(good, number=1) == "two"
    assert key_of(good, number=1) is None, "the second time"
    assert key_of(good, b"another", number=2) is None
    assert key_of(RequestSeal.make("three", b"request"), number=3) is None
    assert key_of("", number=4) is None
    assert key_of(good, number=5, sent_at=110.0 - FRESH_S) is None
    assert key_of(good, number=6, sent_at=float("nan")) is None
    assert RequestSeal([], is_open=True).key_of("", b"", request_id="7", sent_at=0, unix_now=1) == ""
    assert RequestSeal(["one"], is_open=False).key_of("", b"", request_id="8", sent_at=0, unix_now=1) is None


def test_a_client_of_piopiys_api_reaches_a_call_at_another_gateway() -> None:
    async def story() -> None:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            client(here) as web,
            caller(there) as line,
        ):
            dialler = there.switchboard.resources.dialler = NotedDialler()
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            assert (await web.get(f"/v3/calls/{call_id}")).json()["status"] == "live"
            path = f"/v3/calls/{call_id}/actions/transfer"
            begun = await web.post(path, json={"to_number": "917777777777"})
            ticket = begun.json()["request_id"]
            assert dialler.legs[0].request.to == "+917777777777"
            assert (await web.get(f"/v3/transfers/{ticket}")).json()["status"] == "queued"
            dialler.legs[0].dialled.callee_failed(asyncio.get_running_loop().time(), "busy", "486 Busy Here")
            assert (await web.get(f"/v3/transfers/{ticket}")).json()["reason"] == "busy"
            over = await web.post("/v3/voice/call/hangup", json={"call_id": call_id, "reason": "done"})
            assert over.status_code == 200
            assert (await line.hear("ended"))["reason"] == "agent_hangup"

    asyncio.run(story())
