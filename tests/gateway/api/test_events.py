"""The WebSocket of events: what a console is told, and who is told nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.access import Access
from piopiy_pipeline.gateway.api import events
from piopiy_pipeline.gateway.api.events import EventsHub
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.gateway.records.recent_calls import RecentCalls
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from tests.support.agents import logged
from tests.support.bots import voice
from tests.support.calls import KEY as CALLER_KEY
from tests.support.calls import house
from tests.support.gateway_peers import Peer, agent, bearer, caller, config, until
from tests.support.web import API_KEY


@asynccontextmanager
async def watching(
    gateway: Gateway, *, headers: dict[str, str] | None = None, **first: Any
) -> AsyncIterator[Peer]:
    """A watcher who has sent the first message `first` (nothing without any)."""
    async with connect(
        f"{gateway.url}/api/events", additional_headers=headers or {}, proxy=None, compression=None
    ) as socket:
        peer = Peer(socket)
        if first:
            await peer.say(**{"type": "watch", **first})
        yield peer


async def record(peer: Peer) -> CallRecord:
    """The next change of a call."""
    return CallRecord.model_validate((await peer.hear("call"))["call"])


def test_a_watcher_is_greeted_with_the_calls_under_way_and_told_of_the_rest() -> None:
    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway) as one,
            caller(gateway, from_number="+1") as line,
            watching(gateway, key=API_KEY) as early,
        ):
            assert (await early.hear())["type"] == "hello"
            offer, _ = await one.take()
            await line.hear("answered")
            phases: list[str] = []
            while not phases or phases[-1] != "live":
                told = await record(early)
                phases.append(told.phase)
            assert told.from_number == "+1"
            assert told.answered_at is not None
            async with watching(gateway, key=API_KEY) as late:
                assert (await late.hear())["type"] == "hello"
                assert (await record(late)).phase == "live"
                partial = {"text": "A ta"}
                await one.say(type="event", call_id=told.call_id, at=0.5, event="user_partial", data=partial)
                for peer in (early, late):
                    heard = await peer.hear("event")
                    assert (heard["call_id"], heard["number"], heard["at"]) == (told.call_id, 1, 0.5)
                    assert (heard["event"], heard["data"]) == ("user_partial", partial)
                await one.hangup(offer, detail="goodbye")
                for peer in (early, late):
                    over = await record(peer)
                    assert (over.phase, over.reason, over.detail) == ("ended", "agent_hangup", "goodbye")

    asyncio.run(story())


@pytest.mark.realtime
def test_a_whole_conversation_is_told_in_order() -> None:
    """In real time, because it is spoken over sockets."""

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.", texts=["a table"], replies=["It is free."])
        await agent.start()

    async def story() -> None:
        async with house(bot, api_keys=[API_KEY]) as place:
            async with watching(place.gateway, key=API_KEY) as console:
                await console.hear("hello")
                log = await place.call("booking/03-yes.wav", hangup_after_s=1.5)
                told: list[dict[str, Any]] = []
                while not told or told[-1].get("call", {}).get("phase") != "ended":
                    told.append(await console.hear())
            phases = [one["call"]["phase"] for one in told if one["type"] == "call"]
            assert [phases[0], *phases[-2:]] == ["offering", "live", "ended"]
            assert told[-1]["call"]["reason"] == log.reason
            happened = [one for one in told if one["type"] == "event"]
            assert [one["number"] for one in happened] == list(range(1, len(happened) + 1))
            turns = [
                (one["event"], one["data"]["text"]) for one in happened if one["event"].endswith("_turn")
            ]
            assert turns[:2] == [("bot_turn", "Hello."), ("user_turn", "a table")]

    asyncio.run(story())


def test_only_the_calls_that_are_watched_are_told_of() -> None:
    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway) as one,
            AsyncExitStack() as lines,
        ):
            offers = []
            for _ in range(2):
                line = await lines.enter_async_context(caller(gateway))
                offers.append((await one.take())[0])
                await line.hear("answered")
            ids = [offer["call_id"] for offer in offers]
            async with (
                watching(gateway, key=API_KEY, calls=[ids[1]]) as console,
                watching(gateway, key=API_KEY, calls=[]) as list_only,
            ):
                for peer in (console, list_only):
                    assert {(await record(peer)).call_id for _ in ids} == set(ids)
                for call_id in ids:
                    await one.say(type="event", call_id=call_id, at=1, event="bot_turn", data={"text": "Hi."})
                assert (await console.hear("event"))["call_id"] == ids[1]
                await one.hangup(offers[0])
                assert (await console.hear())["call"]["call_id"] == ids[0], "changes of all calls are told"
                assert (await list_only.hear())["call"]["call_id"] == ids[0]

    asyncio.run(story())


def test_a_greeting_in_any_script_may_be_larger_than_what_may_wait_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To a client that has read nothing yet: what was posted to it waits, in bytes."""
    posted: Counter[DirectServerConnection] = Counter()
    post_text = DirectServerConnection.post_text

    def post(connection: DirectServerConnection, message: str | bytes) -> bool:
        posted[connection] += len(message.encode() if isinstance(message, str) else message)
        return post_text(connection, message)

    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway) as one,
            AsyncExitStack() as lines,
        ):
            for _ in range(5):
                line = await lines.enter_async_context(caller(gateway, metadata={"name": "请问" * 200}))
                await one.take()
                await line.hear("answered")
            monkeypatch.setattr(events, "UNREAD_BYTES", 200)
            monkeypatch.setattr(DirectServerConnection, "post_text", post)
            monkeypatch.setattr(DirectServerConnection, "write_buffer_size", property(posted.__getitem__))
            async with watching(gateway, key=API_KEY) as console:
                assert len({(await record(console)).call_id for _ in range(5)}) == 5
            monkeypatch.undo()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ('{"type": "watch"}', "no API key was sent"),
        ('{"type": "watch", "key": "wrong"}', "this is no API key"),
        (json.dumps({"type": "watch", "key": CALLER_KEY}), "this is no API key"),
        ('{"type": "watch", "key": "operator-key", "all": true}', "all: there is no such key"),
        ("{", "JSON"),
        (b"binary", "messages here are JSON text"),
        ('{"key": "' + "x" * events.KEY_BYTES + '"}', "may have"),
    ],
)
def test_a_first_message_that_is_none_is_1008_with_a_sentence(first: str | bytes, says: str) -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, watching(gateway) as console:
            await console.socket.send(first)
            code, reason = await console.closed()
            assert (code, says in reason) == (1008, True), reason

    asyncio.run(story())


def test_nothing_follows_the_first_message() -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, watching(gateway, key=API_KEY) as console:
            await console.hear("hello")
            await console.say(type="watch", key=API_KEY)
            code, reason = await console.closed()
            assert (code, "connect anew" in reason) == (1008, True)

    asyncio.run(story())


def test_who_sends_no_key_in_time_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEY_S", 0.05)

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, watching(gateway) as console:
            code, reason = await console.closed()
            assert (code, "send your key within" in reason) == (1008, True)

    asyncio.run(story())


def test_an_open_console_watches_without_a_key_and_only_from_its_own_page() -> None:
    async def story() -> None:
        async with Gateway(config(console="open", allowed_origins=["https://shop.example"])) as gateway:
            own = {"Origin": gateway.console_url.rstrip("/")}
            async with watching(gateway, headers=own, key=None) as console:
                assert (await console.hear())["type"] == "hello"
            async with watching(gateway, headers={"Origin": "https://shop.example"}, key=None) as console:
                assert (await console.closed())[0] == 1008, "a configured page may call, not watch"
            with pytest.raises(InvalidStatus) as refused:
                async with watching(gateway, headers={"Origin": "https://evil.example"}):
                    pass
            assert refused.value.response.status_code == 403
            assert b"allowed_origins" in refused.value.response.body

    asyncio.run(story())


def test_one_watcher_too_many_is_503_until_another_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_CLIENTS", 3)

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, AsyncExitStack() as crowd:
            watchers = [await crowd.enter_async_context(watching(gateway, key=API_KEY)) for _ in range(3)]
            first = watchers[0]
            assert gateway._services is not None
            hub = gateway._services.events
            await until(lambda: hub.full)
            with pytest.raises(InvalidStatus) as refused:
                async with watching(gateway):
                    pass
            assert refused.value.response.status_code == 503
            await first.socket.close()
            await until(lambda: not hub.full)
            async with watching(gateway, key=API_KEY) as console:
                assert (await console.hear())["type"] == "hello"

    asyncio.run(story())


def test_who_has_shown_no_key_takes_no_watchers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_CLIENTS", 2)
    monkeypatch.setattr(events, "MAX_UNKNOWN", 5)

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, AsyncExitStack() as crowd:
            strangers = [await crowd.enter_async_context(watching(gateway)) for _ in range(4)]
            async with watching(gateway, key=API_KEY) as console:
                assert (await console.hear())["type"] == "hello"
            assert gateway._services is not None
            hub = gateway._services.events
            await until(lambda: len(hub._connections) == 4)
            await crowd.enter_async_context(watching(gateway))
            await until(lambda: hub.full)
            with pytest.raises(InvalidStatus):
                async with watching(gateway):
                    pass
            for one in strangers[:2]:
                await one.say(type="watch", key=API_KEY)
                assert (await one.hear())["type"] == "hello"
            await strangers[2].say(type="watch", key=API_KEY)
            assert "too many watch" in (await strangers[2].closed())[1]

    asyncio.run(story())


def test_a_watcher_that_does_not_read_is_cut_and_the_call_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "UNREAD_BYTES", 64 << 10)

    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            agent(gateway) as one,
            caller(gateway) as line,
            watching(gateway, key=API_KEY) as reads,
            watching(gateway, key=API_KEY) as deaf,
        ):
            offer, _ = await one.take()
            await line.hear("answered")
            await reads.hear("hello")
            await deaf.hear("hello")
            deaf.socket.transport.pause_reading()
            assert gateway._services is not None
            hub = gateway._services.events
            text = "x" * 30_000
            for number in range(1000):
                if len(hub._connections) == 1:
                    break
                await one.say(
                    type="event", call_id=offer["call_id"], at=1, event="bot_turn", data={"text": text}
                )
                assert (await reads.hear("event"))["number"] == number + 1
            assert len(hub._connections) == 1
            deaf.die()
            await one.hangup(offer)
            await line.hear("ended")

    asyncio.run(story())


def test_the_end_of_the_gateway_is_a_close_that_says_so() -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, watching(gateway, key=API_KEY) as console:
            await console.hear("hello")
            closing = asyncio.create_task(gateway.close())
            assert (await console.closed())[0] == 1001
            await closing

    asyncio.run(story())


class Watcher:
    """A connection of a watcher, without a network: what it is sent is in `told`."""

    write_buffer_size = 0

    def __init__(self, hub: EventsHub) -> None:
        self.told: list[str] = []
        hub.admit(cast(DirectServerConnection, self), lambda _: None)

    def listen(
        self, *, on_text: Callable[[bytes], None], on_binary: object, on_close: Callable[[], None]
    ) -> None:
        self.leave = on_close
        on_text(json.dumps({"type": "watch", "key": API_KEY, "calls": ["c"]}).encode())

    def post_text(self, text: str) -> None:
        self.told.append(text)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_what_came_for_a_watcher_who_left_while_it_was_greeted_is_told_nobody_else() -> None:
    async def story() -> None:
        begun = asyncio.Event()
        hub = EventsHub(Access(config(api_keys=[API_KEY])), RecentCalls(time.time))

        async def begin(_: frozenset[str]) -> None:
            await begun.wait()

        hub.begin_elsewhere = begin
        left = Watcher(hub)
        hub.tell("c", "old")
        left.leave()
        next_one = Watcher(hub)
        begun.set()
        await turns()
        assert len(next_one.told) == 1, "hello, and nothing that was before"
        hub.tell("c", "new")
        assert next_one.told[1:] == ["new"]

    asyncio.run(story())


def test_a_watcher_is_greeted_though_other_gateways_cannot_be_asked() -> None:
    async def story() -> None:
        async def fails(_: frozenset[str]) -> None:
            raise RuntimeError("no")

        hub = EventsHub(Access(config(api_keys=[API_KEY])), RecentCalls(time.time))
        hub.begin_elsewhere = fails
        with logged() as lines:
            one = Watcher(hub)
            hub.tell("c", "early")
            await turns()
        assert one.told[1:] == ["early"]
        assert any("are not watched" in line for _, line in lines)

    asyncio.run(story())


def test_a_key_in_a_header_is_no_key_here() -> None:
    """Browsers send no headers with a WebSocket: there is one way, and it is tried by all."""

    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            watching(gateway, headers=bearer(API_KEY), key=None) as console,
        ):
            assert (await console.closed())[0] == 1008

    asyncio.run(story())
