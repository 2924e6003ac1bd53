"""`piopiy chat` with an agent of a gateway, and what is said of a gateway that is lost, refuses or is not there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from examples import front_desk
from piopiy_pipeline.cli.gateway_link import NO_DETAIL
from tests.support.calls import AGENT_ID, KEY, house
from tests.support.commands import chat

BOOKING = ("A table for four on Friday at seven, please.", "Yes.", "Thank you, goodbye.")


@pytest.mark.realtime
def test_without_a_file_it_chats_with_an_agent_of_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is a process of its own, over real sockets."""
    bookings = tmp_path / "bookings.jsonl"
    monkeypatch.setattr(front_desk, "BOOKINGS", bookings)

    async def story() -> tuple[int, str, str]:
        async with house(front_desk.on_new_session) as place:
            options = ("--url", place.gateway.url, "--agent", AGENT_ID, "--key", KEY)
            return await asyncio.to_thread(chat, *BOOKING, options=options, bot=None)

    status, out, err = asyncio.run(story())
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0].startswith(f"chat with {AGENT_ID}")
    assert lines[1] == "bot  Olive and Thyme, good day. How can I help you?"
    assert "bot  A table for four, Friday at seven. Is that right?" in lines
    assert lines[-1] == "     ended: agent_hangup (the bot hung up)"
    assert json.loads(bookings.read_text())["people"] == 4


def test_the_next_line_answers_what_a_tool_of_an_agent_asks() -> None:
    heard: list[str] = []

    async def asks(socket: ServerConnection) -> None:
        async def tell(**event: object) -> None:
            await socket.send(json.dumps(event))

        await socket.recv()
        await tell(event="answered")
        await socket.recv()  # the first line
        await tell(event="tool", id="1", name="ask_number", arguments=None)
        await tell(event="collecting", on=True)
        await tell(event="words", text="What is your number?")
        async with asyncio.timeout(20):
            heard.append(json.loads(await socket.recv())["text"])
        await tell(event="collecting", on=False)
        await tell(event="tool_result", id="1", name="ask_number", result="done", cancelled=False)
        await tell(event="ended", reason="agent_hangup")

    async def story() -> tuple[int, str, str]:
        async with serve(asks, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            options = ("--url", f"ws://127.0.0.1:{port}", "--agent", AGENT_ID, "--key", KEY)
            return await asyncio.to_thread(chat, "Call me back", "030 1234567", options=options, bot=None)

    status, _, err = asyncio.run(story())
    assert (status, heard) == (0, ["030 1234567"]), err


def test_a_gateway_that_does_not_say_why_a_chat_has_ended_is_said_to_know_it() -> None:
    async def refuses(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"event": "ended", "reason": "busy"}')

    async def story() -> tuple[int, str, str]:
        async with serve(refuses, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            options = ("--url", f"ws://127.0.0.1:{port}", "--agent", AGENT_ID, "--key", KEY)
            return await asyncio.to_thread(chat, options=options, bot=None)

    status, _, err = asyncio.run(story())
    assert status == 1
    assert err.splitlines()[-1] == f"piopiy: busy: {NO_DETAIL}"


@pytest.mark.parametrize("in_order", [False, True])
def test_a_gateway_that_is_lost_in_a_chat_is_an_error_and_no_hangup(in_order: bool) -> None:
    async def dies(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"event": "answered"}')
        await socket.recv()  # the message
        await socket.send('{"event": "words", "text": "I begin"}')
        if in_order:
            await socket.close(1001, "the gateway is shutting down")
        else:
            socket.transport.abort()

    async def story() -> tuple[int, str, str]:
        async with serve(dies, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            options = ("--url", f"ws://127.0.0.1:{port}", "--agent", AGENT_ID, "--key", KEY, "--json")
            return await asyncio.to_thread(chat, "Hello!", options=options, bot=None)

    status, out, err = asyncio.run(story())
    assert status == 1
    assert json.loads(out.splitlines()[-1])["reason"] == "gateway_lost"
    assert "was lost: the gateway is gone, or the network" in err.splitlines()[-1]


def test_a_gateway_that_is_not_there_or_refuses_is_one_line(unused_port: int) -> None:
    async def refused() -> tuple[int, str, str]:
        async with house(front_desk.on_new_session) as place:
            options = ("--url", place.gateway.url, "--agent", AGENT_ID, "--key", "wrong")
            return await asyncio.to_thread(chat, options=options, bot=None)

    status, _, err = asyncio.run(refused())
    assert status == 1
    assert "has ended the chat" in err.splitlines()[-1]
    gone = ("--url", f"ws://127.0.0.1:{unused_port}", "--agent", AGENT_ID, "--key", KEY)
    status, _, err = chat(options=gone, bot=None)
    assert (status, len(err.splitlines())) == (1, 1)
    status, _, err = chat(options=gone)
    assert status == 2
    assert "leave the bot's file out" in err
