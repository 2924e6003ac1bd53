"""A chat over the gateway: who is let in, what travels, what is refused, and a bot that answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect

from examples import front_desk
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import METADATA_LIMIT, ClientTokens, TokenRequest
from piopiy_pipeline.gateway.port import chat_leg
from piopiy_pipeline.signaling.chat import MAX_CHARACTERS, shown_turn
from tests.support.calls import AGENT_ID as HOUSE_AGENT
from tests.support.calls import KEY, house
from tests.support.gateway_peers import AGENT_ID, CALLER_KEY, Peer, agent, config

SECRET = "a-secret-of-thirty-two-characters"


@asynccontextmanager
async def chat(
    gateway: Gateway, agent_id: str = AGENT_ID, token: str | None = CALLER_KEY, **start: Any
) -> AsyncIterator[Peer]:
    async with connect(f"{gateway.url}/chat/{agent_id}", proxy=None) as socket:
        peer = Peer(socket)
        if token is not None:
            await peer.say(event="start", token=token, **start)
        yield peer


def rtvi(kind: str, **data: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}


def test_words_go_both_ways_and_turns_are_told() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            await person.hear("ringing")
            offer, media = await one.take()
            assert offer["kind"] == "text"
            await person.hear("answered")
            assert (await media.hear("message"))["data"]["type"] == "client-ready"
            await person.say(event="text", text="Hello!")
            assert (await media.hear("message"))["data"]["data"] == {"content": "Hello!"}
            await media.say(event="message", data=rtvi("bot-llm-started"))
            await media.say(event="message", data=rtvi("bot-tts-text", text="Good "))
            await media.say(event="message", data={"picture": 1})
            assert (await person.hear())["on"] is True
            assert await person.hear() == {"event": "words", "text": "Good "}
            assert (await person.hear())["data"] == {"picture": 1}
            await one.say(
                type="event", call_id=offer["call_id"], at=1, event="bot_turn", data={"text": "Good day"}
            )
            turn = await person.hear("turn")
            assert (turn["role"], turn["text"], turn["interrupted"]) == ("bot", "Good day", False)
            await person.say(event="stop")
            assert (await media.hear("message"))["data"]["type"] == "interrupt-bot"
            await person.say(event="dtmf", digits="12#")
            assert (await media.hear("dtmf"))["digits"] == "12#"
            await one.say(type="transfer", call_id=offer["call_id"], request_id="t", to="human")
            assert (await one.hear("transfer_result"))["outcome"] == "refused"
            await one.hangup(offer)
            assert (await person.hear("ended"))["reason"] == "agent_hangup"

    asyncio.run(story())


def test_the_person_is_told_whether_code_asks_them_for_a_value() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            offer, _ = await one.take()
            await person.hear("answered")
            for outcome in ("begun", "collected"):
                data = {"name": "number", "kind": "phone_number", "outcome": outcome, "attempts": 0}
                await one.say(type="event", call_id=offer["call_id"], at=1, event="collection", data=data)
            assert await person.hear() == {"event": "collecting", "on": True}
            assert await person.hear() == {"event": "collecting", "on": False}

    asyncio.run(story())


def test_a_turn_that_is_reported_before_its_words_are_here_is_told_once_and_behind_them() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            offer, media = await one.take()
            await person.hear("answered")
            await one.say(
                type="event", call_id=offer["call_id"], at=1, event="bot_turn", data={"text": "Good day"}
            )
            for kind in ("bot-tts-started", "bot-tts-text", "bot-tts-stopped"):
                await media.say(event="message", data=rtvi(kind, text="Good day"))
            turn = {"role": "bot", "text": "Good day", "interrupted": False}
            await media.say(event="message", data=shown_turn(turn, recorded=True))
            sorry = {"role": "bot", "text": "I am sorry.", "interrupted": False}
            await media.say(event="message", data=shown_turn(sorry, recorded=False))
            heard = [await person.hear() for _ in range(5)]
            assert heard == [
                {"event": "writing", "on": True},
                {"event": "words", "text": "Good day"},
                {"event": "writing", "on": False},
                {"event": "turn", **turn},
                {"event": "turn", **sorry},
            ]
            await one.hangup(offer)
            assert (await person.hear())["event"] == "ended"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ('{"event": "text", "text": "hello"}', "start first"),
        ('{"event": "start", "token": "wrong"}', "no client token of this gateway"),
        ('{"event": "start"}', "token"),
        (b"\0\0", "no audio"),
        ("hello?", "JSON"),
    ],
)
def test_whoever_does_not_begin_as_they_should_is_told_why_and_sent_away(
    sent: str | bytes, told: str
) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway), chat(gateway, token=None) as person:
            await person.socket.send(sent)
            assert told in (await person.hear("fault"))["detail"]
            assert (await person.closed())[0] == 1008

    asyncio.run(story())


def test_a_client_token_says_who_chats_and_for_which_agent() -> None:
    def token(**claims: Any) -> str:
        tokens = ClientTokens(SECRET, [AGENT_ID, "kitchen"], wall=lambda: claims.pop("at", 4e9))
        request = {"agent_id": AGENT_ID, "identity": "ann", "metadata": {"order": 7}, **claims}
        return tokens.grant(TokenRequest.model_validate(request)).token

    async def story() -> None:
        agents = {AGENT_ID: "agent-token", "kitchen": "agent-token"}
        async with Gateway(config(token_secret=SECRET, agents=agents)) as gateway, agent(gateway) as one:
            async with chat(gateway, token=token(), metadata={"order": 8}):
                offer, _ = await one.take()
                assert (offer["from_number"], offer["metadata"]) == ("ann", {"order": 7})
            large = {"essay": "x" * METADATA_LIMIT}
            for shown in (token(metadata=None), CALLER_KEY):
                async with chat(gateway, token=shown, metadata=large) as person:
                    assert f"at most {METADATA_LIMIT} bytes" in (await person.hear("fault"))["detail"]
            async with chat(gateway, token=token(agent_id="kitchen")) as person:
                assert "is for agent 'kitchen'" in (await person.hear("fault"))["detail"]
            old = ClientTokens(SECRET, [AGENT_ID], wall=lambda: 1e9)
            expired = old.grant(TokenRequest(agent_id=AGENT_ID, identity="ann")).token
            async with chat(gateway, token=expired) as person:
                assert "has expired" in (await person.hear("fault"))["detail"]

    asyncio.run(story())


def test_what_is_sent_before_the_bot_has_answered_waits_for_it() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            for number in range(chat_leg.MAX_EARLY + 1):
                await person.say(event="text", text=f"message {number}")
            assert "not answered yet" in (await person.hear("refused"))["detail"]  # of the one too many
            _, media = await one.take()
            assert (await media.hear("message"))["data"]["type"] == "client-ready"
            for number in range(chat_leg.MAX_EARLY):
                assert (await media.hear("message"))["data"]["data"] == {"content": f"message {number}"}
            await person.say(event="text", text="the next")
            assert (await media.hear("message"))["data"]["data"] == {"content": "the next"}

    asyncio.run(story())


def test_a_bot_that_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_leg, "ANSWER_S", 0.1)

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway), chat(gateway) as person:
            await person.say(event="text", text="Hello!")
            assert "not answered yet" in (await person.hear("refused"))["detail"]

    asyncio.run(story())


def test_messages_that_come_too_fast_are_refused_and_the_chat_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            _, media = await one.take()
            await person.hear("answered")
            for number in range(3 * chat_leg.MESSAGES_PER_S):
                await person.say(event="text", text=f"message {number}")
            assert "messages a second" in (await person.hear("refused"))["detail"]
            for number in range(2 * chat_leg.MESSAGES_PER_S):
                data = await media.hear_where(lambda each: each["data"].get("type") == "send-text", "text")
                assert data["data"]["data"]["content"] == f"message {number}"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"event": "text", "text": ""}, "text.text"),
        ({"event": "text", "text": "  "}, "text.text: has nothing but blanks"),
        ({"text": "  "}, "message: 'event' is missing"),
        ({"event": "text", "text": "x" * (MAX_CHARACTERS + 1)}, "text.text"),
        ({"event": "dtmf", "digits": "abc"}, "dtmf.digits"),
        ({"event": "sing"}, "message: 'event' is 'sing', and none of 'start'"),
        ({"event": "start", "token": "again"}, "has started already"),
        ({"event": "start", "token": CALLER_KEY, "metadata": 5}, "start.metadata: expected a table"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_the_chat_goes_on(sent: dict[str, Any], told: str) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            _, media = await one.take()
            await person.hear("answered")
            await person.say(**sent)
            detail = (await person.hear("refused"))["detail"]
            assert told in detail
            assert CALLER_KEY not in detail, "a secret is not repeated"
            await person.say(event="text", text="Hello!")
            said = await media.hear_where(lambda each: each["data"].get("type") == "send-text", "text")
            assert said["data"]["data"]["content"] == "Hello!"

    asyncio.run(story())


def test_a_chat_in_which_nobody_writes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_leg, "IDLE_S", 0.2)

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, chat(gateway) as person:
            await one.take()
            await person.closed()
            ended = await one.hear("ended")
            assert ended["reason"] == "caller_hangup"
            assert "nobody wrote" in ended["detail"]

    asyncio.run(story())


@pytest.mark.parametrize("may_watch", [True, False])
def test_why_a_chat_has_ended_is_told_by_a_callers_key_if_callers_may_watch(may_watch: bool) -> None:
    async def story() -> None:
        settings = config(callers_may_watch=may_watch, ring_s=2)
        async with Gateway(settings) as gateway, agent(gateway, roams=None), chat(gateway) as person:
            ended = await person.hear("ended")
        assert ended["reason"] == "busy"
        assert ("too old for text chats: 1" in ended["detail"]) == may_watch

    asyncio.run(story())


@pytest.mark.realtime
def test_the_front_desk_takes_a_booking_from_a_page_that_chats(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real sockets, and an agent of its own: the clock of the wall is in them."""
    bookings = tmp_path / "bookings.jsonl"
    monkeypatch.setattr(front_desk, "BOOKINGS", bookings)

    async def answer(person: Peer) -> str:
        turn = await person.hear_where(lambda each: each["event"] == "turn" and each["role"] == "bot", "turn")
        return str(turn["text"])

    async def story() -> None:
        async with (
            house(front_desk.on_new_session) as place,
            chat(place.gateway, HOUSE_AGENT, KEY, from_number="ann") as person,
        ):
            assert "How can I help you" in await answer(person)
            await person.say(event="text", text="A table for four on Friday at seven, please.")
            assert "Is that right" in await answer(person)
            await person.say(event="text", text="Yes.")
            assert "is booked" in await answer(person)
            await person.say(event="text", text="Thank you, goodbye.")
            words = ""
            while (event := await person.hear("words", "ended"))["event"] == "words":
                words += event["text"]
            assert "oodbye" in words
            assert event["reason"] == "agent_hangup"

    asyncio.run(story())
    (booking,) = map(json.loads, bookings.read_text().splitlines())
    assert (booking["people"], booking["from"]) == (4, "ann")
