"""Chats over HTTP: begun once for each key, written to, read as server-sent events, and over in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import httpx
import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import METADATA_LIMIT
from piopiy_pipeline.gateway.api import chats, kept_chat
from piopiy_pipeline.gateway.api.kept_chat import MAX_READERS, ChatShelf, KeptChat
from piopiy_pipeline.gateway.core.leg import LegListener
from piopiy_pipeline.gateway.port.chat_leg import MESSAGES_PER_S
from piopiy_pipeline.signaling.chat_events import ChatText, ChatWords
from piopiy_pipeline.signaling.messages import dump
from tests.support.gateway_peers import AGENT_ID, ScriptedAgent, agent, config, until
from tests.support.web import API_KEY, client

ORDER = {"agent_id": AGENT_ID, "from": "ann", "metadata": {"order": 7}}


def rtvi(kind: str, **data: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}


@asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[tuple[Gateway, ScriptedAgent, httpx.AsyncClient]]:
    settings = {"api_keys": [API_KEY], **settings}
    async with Gateway(config(**settings)) as gateway, agent(gateway) as one, client(gateway) as web:
        await gateway.ready()
        yield gateway, one, web


class Reader:
    """Reads the events of a chat, as a library for server-sent events does."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.aiter_lines()
        self.numbers: list[int] = []

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            seen: dict[str, str] = {}
            async for line in self.lines:
                if not line and seen:
                    event: dict[str, Any] = json.loads(seen["data"])
                    assert event["event"] == seen["event"]
                    self.numbers.append(int(seen["id"]))
                    return event
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    seen[name] = value
        return {"event": "closed"}

    async def until(self, name: str) -> dict[str, Any]:
        while (event := await self.next())["event"] not in (name, "closed"):
            continue
        assert event["event"] == name
        return event


@asynccontextmanager
async def reading(web: httpx.AsyncClient, call_id: str, **asked: Any) -> AsyncIterator[Reader]:
    async with web.stream("GET", f"/api/chats/{call_id}/events", **asked) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


async def write(web: httpx.AsyncClient, call_id: str, **event: Any) -> httpx.Response:
    return await web.post(f"/api/chats/{call_id}/messages", json=event)


def test_metadata_may_be_as_long_as_a_client_tokens_and_no_longer() -> None:
    async def story() -> None:
        async with place() as (gateway, _, web):
            order = {**ORDER, "metadata": {"essay": "x" * METADATA_LIMIT}}
            refused = await web.post("/api/chats", json=order, headers={"Idempotency-Key": "thread-7"})
            assert (refused.status_code, gateway.switchboard.call_count) == (422, 0)
            assert f"at most {METADATA_LIMIT} bytes" in refused.json()["error"]
            order["metadata"] = {"essay": "x" * (METADATA_LIMIT - 20)}
            taken = await web.post("/api/chats", json=order, headers={"Idempotency-Key": "thread-7"})
            assert taken.status_code == 201

    asyncio.run(story())


def test_a_chat_is_begun_written_to_and_read() -> None:
    async def story() -> None:
        async with place() as (_, one, web):
            begun = await web.post("/api/chats", json=ORDER)
            assert begun.status_code == 201
            call_id = begun.json()["call_id"]
            assert (begun.json()["kind"], begun.json()["from_number"]) == ("text", "ann")
            async with reading(web, call_id) as reader:
                offer, media = await one.take()
                assert (offer["kind"], offer["from_number"], offer["metadata"]) == (
                    "text",
                    "ann",
                    {"order": 7},
                )
                assert (await reader.next())["event"] == "ringing"
                assert (await reader.next())["event"] == "answered"
                assert (await media.hear("message"))["data"]["type"] == "client-ready"
                taken = await write(web, call_id, event="text", text="Hello!")
                assert (taken.status_code, taken.json()) == (202, {"after": 2})
                assert (await media.hear("message"))["data"]["data"] == {"content": "Hello!"}
                await media.say(event="message", data=rtvi("bot-llm-started"))
                await media.say(event="message", data=rtvi("bot-tts-text", text="Good "))
                assert await reader.next() == {"event": "writing", "on": True}
                assert await reader.next() == {"event": "words", "text": "Good "}
                await write(web, call_id, event="stop")
                assert (await media.hear("message"))["data"]["type"] == "interrupt-bot"
                await write(web, call_id, event="dtmf", digits="12#")
                assert (await media.hear("dtmf"))["digits"] == "12#"
                assert reader.numbers == [1, 2, 3, 4]
            async with reading(web, call_id, headers={"Last-Event-ID": "3"}) as again:
                assert (await again.next())["event"] == "words", "nothing is missed, and nothing comes twice"
                listed = (await web.get("/api/calls", params={"kind": "text"})).json()["calls"]
                assert [call["call_id"] for call in listed] == [call_id]
                await write(web, call_id, event="hangup")
                assert (await one.hear("ended"))["reason"] == "caller_hangup"
                assert (await again.until("ended"))["reason"] == "caller_hangup"
                assert (await again.next())["event"] == "closed"
            late = await write(web, call_id, event="text", text="Hello?")
            assert late.status_code == 409
            assert "over" in late.json()["error"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "event", [{"event": "text", "text": "Hello?"}, {"event": "stop"}, {"event": "hangup"}]
)
def test_a_chat_that_its_person_has_not_ended_takes_nothing_after_its_end(event: dict[str, Any]) -> None:
    async def story() -> None:
        async with place() as (_, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            async with reading(web, call_id) as reader:
                offer, _ = await one.take()
                await reader.until("answered")
                await one.hangup(offer)
                assert (await reader.until("ended"))["reason"] == "agent_hangup"
            late = await write(web, call_id, **event)
            assert (late.status_code, late.json()["error"]) == (409, "the chat is over")

    asyncio.run(story())


def test_what_is_wrong_with_a_message_and_what_needs_sound_is_a_sentence() -> None:
    async def story() -> None:
        async with place() as (_, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            await one.take()
            path, as_json = f"/api/chats/{call_id}/messages", {"Content-Type": "application/json"}
            for content, headers, told in (
                ("{", as_json, "body: no JSON that can be passed on"),
                ("{}", {"Content-Type": "text/plain"}, "Content-Type: application/json"),
                ("{}", as_json, "body: 'event' is missing"),
                ('{"event": "text", "text": "  "}', as_json, "text: has nothing but blanks"),
                ('{"event": "stop", "x": 1}', as_json, "x: there is no such key"),
            ):
                answer = await web.post(path, content=content, headers=headers)
                assert (answer.status_code, told in answer.json()["error"]) == (422, True), answer.text
            for what in ("hold", "mute", "record", "clean_sound"):
                answer = await web.post(f"/api/calls/{call_id}/{what}")
                assert (answer.status_code, "has no sound" in answer.json()["error"]) == (409, True)

    asyncio.run(story())


def test_what_the_bots_author_tells_of_tools_is_told() -> None:
    async def story() -> None:
        async with place() as (_, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            async with reading(web, call_id) as reader:
                _, media = await one.take()
                await reader.until("answered")
                used = {"tool_call_id": "c1", "function_name": "book", "arguments": {"people": 4}}
                await media.say(event="message", data=rtvi("llm-function-call-in-progress", **used))
                over = {"tool_call_id": "c1", "cancelled": False, "function_name": "book", "result": "done"}
                await media.say(event="message", data=rtvi("llm-function-call-stopped", **over))
                await media.say(
                    event="message", data=rtvi("llm-function-call-in-progress", tool_call_id="c2")
                )
                tool = {"event": "tool", "id": "c1", "name": "book", "arguments": {"people": 4}}
                assert await reader.next() == tool
                result = {"id": "c1", "name": "book", "result": "done", "cancelled": False}
                assert await reader.next() == {"event": "tool_result", **result}
                assert await reader.next() == {"event": "tool", "id": "c2", "name": None, "arguments": None}

    asyncio.run(story())


def test_the_same_key_begins_one_chat_and_orders_have_their_limit() -> None:
    async def story() -> None:
        async with place(dials_per_minute=2) as (gateway, _, web):
            headers = {"Idempotency-Key": "k"}
            first = await web.post("/api/chats", json=ORDER, headers=headers)
            again = await web.post("/api/chats", json=ORDER, headers=headers)
            assert again.headers["idempotent-replayed"] == "true"
            assert again.json()["call_id"] == first.json()["call_id"]
            assert gateway.switchboard.call_count == 1
            other = await web.post("/api/chats", json={**ORDER, "from": "bob"}, headers=headers)
            assert other.status_code == 422
            await web.post("/api/chats", json=ORDER)
            limited = await web.post("/api/chats", json=ORDER)
            assert limited.status_code == 429
            assert int(limited.headers["retry-after"]) > 0

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/api/chats", {"agent_id": "nobody"}, 404, "no agent"),
        ("/api/chats", {"agent_id": AGENT_ID, "sing": 1}, 422, "sing"),
        ("/api/chats/unknown/messages", {"event": "text", "text": "Hello"}, 404, "no chat"),
        ("/api/chats/unknown/messages", {"event": "text", "text": ""}, 422, "text"),
        ("/api/chats/unknown/messages", {"event": "sing"}, 422, "sing"),
    ],
)
def test_what_cannot_be_is_one_sentence(path: str, body: dict[str, Any], status: int, told: str) -> None:
    async def story() -> None:
        async with place() as (_, _, web):
            answer = await web.post(path, json=body)
            assert answer.status_code == status
            assert told in answer.json()["error"]
            assert (
                await web.post(path, json=body, headers={"Authorization": "Bearer no"})
            ).status_code == 401
            assert (await web.get("/api/chats/unknown/events")).status_code == 404

    asyncio.run(story())


def test_messages_that_come_too_fast_are_refused_and_a_bot_that_does_not_answer_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chats, "ANSWER_S", 0.1)

    async def story() -> None:
        async with place() as (_, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            early = await write(web, call_id, event="text", text="Hello!")
            assert early.status_code == 409
            await one.take()
            async with reading(web, call_id) as reader:
                await reader.until("answered")
                answers = [
                    await write(web, call_id, event="text", text="Hello!") for _ in range(4 * MESSAGES_PER_S)
                ]
                assert {answer.status_code for answer in answers} == {202, 429}
                assert {one.headers.get("retry-after", "1") for one in answers} == {"1"}
                readers = [
                    await web.send(web.build_request("GET", f"/api/chats/{call_id}/events"), stream=True)
                    for _ in range(MAX_READERS)
                ]
                assert [one.status_code for one in readers] == [200] * (MAX_READERS - 1) + [429]
                assert readers[-1].headers["retry-after"] == "1"
                for one_reader in readers:
                    await one_reader.aclose()

    asyncio.run(story())


def test_readers_that_come_at_once_are_counted_before_their_first_event() -> None:
    async def story() -> None:
        async with place() as (_, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            await one.take()
            request = partial(web.build_request, "GET", f"/api/chats/{call_id}/events")
            readers = await asyncio.gather(
                *(web.send(request(), stream=True) for _ in range(MAX_READERS + 4))
            )
            assert sorted(reader.status_code for reader in readers) == [200] * MAX_READERS + [429] * 4
            for reader in readers:
                await reader.aclose()
            while (again := await web.send(request(), stream=True)).status_code != 200:
                await again.aclose()
            await again.aclose()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_what_is_written_in_the_moment_of_the_answer_comes_behind_client_ready() -> None:
    told: list[object] = []

    class Listener:
        def caller_data(self, data: dict[str, Any]) -> None:
            told.append(data.get("type"))

    async def story() -> None:
        leg = KeptChat(lambda: None).leg
        leg.attach(cast(LegListener, Listener()))
        leg.answer()
        leg.take(ChatText(text="Hello!"))
        await asyncio.sleep(0)
        leg.end(EndReason.CALLER_HANGUP, "")

    asyncio.run(story())
    assert told == ["client-ready", "send-text"]


def test_a_drained_gateway_and_one_without_room_begin_no_chat() -> None:
    async def story() -> None:
        async with place(max_calls=1) as (_, _, web):
            assert (await web.post("/api/chats", json=ORDER)).status_code == 201
            full = await web.post("/api/chats", json=ORDER)
            assert (full.status_code, "at a time" in full.json()["error"]) == (503, True)
            assert full.headers["retry-after"] == "1"
            await web.post("/api/drain", json={})
            drained = await web.post("/api/chats", json=ORDER)
            assert (drained.status_code, "drains" in drained.json()["error"]) == (503, True)
            assert drained.headers["retry-after"] == "1"

    asyncio.run(story())


def test_a_chat_for_which_nobody_is_there_may_be_begun_soon() -> None:
    async def story() -> None:
        async with place() as (gateway, one, web):
            await one.socket.close()
            await until(lambda: not gateway.switchboard.instances.of(AGENT_ID))
            refused = await web.post("/api/chats", json=ORDER)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "connected and free" in refused.json()["error"]

    asyncio.run(story())


def test_the_gateway_closes_though_somebody_reads() -> None:
    async def story() -> None:
        async with place() as (gateway, one, web):
            call_id = (await web.post("/api/chats", json=ORDER)).json()["call_id"]
            await one.take()
            async with reading(web, call_id) as reader:
                await reader.until("answered")
                async with asyncio.timeout(10):
                    await gateway.close()

    asyncio.run(story())


async def texts(chat: KeptChat) -> list[str]:
    found: list[str] = []
    async for event in chat.behind(0, quiet_s=0):
        if event is None:
            return found
        found.append(json.loads(event.text)["text"])
    return found


def test_a_chat_keeps_so_much_and_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_chat, "MAX_EVENTS", 3)
    monkeypatch.setattr(kept_chat, "MAX_OVER", 1)

    async def story() -> None:
        shelf = ChatShelf()
        one, other = shelf.begin("one"), shelf.begin("other")
        for number in range(5):
            one.post_text(dump(ChatWords(text=str(number))))
        assert await texts(one) == ["2", "3", "4"]
        one.finish()
        assert shelf.find("one") is one, "whoever reads is to know that it is over"
        other.finish()
        assert shelf.find("one") is None
        monkeypatch.setattr(kept_chat, "KEPT_S", 0.0)
        shelf.begin("last").finish()
        await until(lambda: shelf.find("last") is None)

    asyncio.run(story())


def test_a_chat_in_any_script_keeps_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        for letter in "a", "订":
            message = dump(ChatWords(text=letter * 10))
            monkeypatch.setattr(kept_chat, "MAX_BYTES", 3 * len(message.encode()))
            chat = KeptChat(lambda: None)
            for _ in range(20):
                chat.post_text(message)
            assert len(await texts(chat)) == 3, letter

    asyncio.run(story())
