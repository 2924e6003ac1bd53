"""What callers say waits for the frame tick, and then goes out of all calls at once and in order."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.agents.outgoing_audio import OutgoingAudio
from tests.support.gateway_peers import agent, caller, config


class Stream:
    """A stream that keeps the order in which it and its like were asked to send."""

    def __init__(self, name: str, order: list[str], outgoing: OutgoingAudio) -> None:
        self.name = name
        self._order = order
        self._outgoing = outgoing

    def say(self) -> None:
        self._outgoing.add(self)

    def send_waiting(self) -> None:
        self._order.append(self.name)


def test_each_stream_with_something_to_send_is_asked_once_a_tick() -> None:
    order: list[str] = []
    outgoing = OutgoingAudio()
    a, b, c = (Stream(name, order, outgoing) for name in "abc")
    b.say()
    a.say()
    b.say()
    outgoing.on_half_tick()
    assert order == ["b", "a"]
    outgoing.on_half_tick()
    assert order == ["b", "a"], "nothing is new"
    c.say()
    a.say()
    outgoing.discard(c)
    outgoing.on_half_tick()
    assert order == ["b", "a", "a"]


def test_keys_stay_behind_what_was_said_before_them_and_nothing_is_lost() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            for number in range(1, 41):
                await line.socket.send(number.to_bytes(2, "little") * 160)
                if number == 20:
                    await line.say(event="dtmf", digits="5")
                if number % 10 == 0:
                    await asyncio.sleep(0)
            pcm = b""
            before_key = None
            while len(pcm) < 40 * 320:
                message = await media.socket.recv()
                if isinstance(message, bytes):
                    pcm += message
                elif '"dtmf"' in message:
                    before_key = len(pcm)
            assert before_key == 20 * 320
            assert pcm == b"".join(number.to_bytes(2, "little") * 160 for number in range(1, 41))

    asyncio.run(story())


def test_an_agent_that_asks_for_pieces_gets_whole_ones_as_soon_as_they_are() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(caller_piece_ms=32)
            await line.hear("answered")
            said = bytes(range(256)) * 250
            piece = 16000 * 32 // 1000 * 2
            for at in range(0, len(said) // 2, 640):
                await line.socket.send(said[at : at + 640])
            heard = b""
            while len(heard) < len(said) // 2 // piece * piece:
                message = await media.socket.recv()
                if isinstance(message, bytes):
                    heard += message
                    assert len(heard) % piece == 0
            await line.say(event="dtmf", digits="5")
            while not isinstance(message := await media.socket.recv(), str) or '"dtmf"' not in message:
                if isinstance(message, bytes):
                    heard += message
            padding = len(heard) - len(said) // 2
            assert 0 <= padding < piece
            assert heard == bytes(padding) + said[: len(said) // 2], (
                "what is left of a piece comes before the key"
            )
            for at in range(len(said) // 2, len(said), 640):
                await line.socket.send(said[at : at + 640])
            while len(heard) < (padding + len(said)) // piece * piece:
                message = await media.socket.recv()
                if isinstance(message, bytes):
                    heard += message
                    assert len(heard) % piece == 0, "pieces are counted from the beginning"
            assert (bytes(padding) + said).startswith(heard)

    asyncio.run(story())


def test_pieces_of_all_streams_are_whole_in_the_same_ticks() -> None:
    for frame_bytes, piece_bytes in ((640, 1024), (320, 512)):
        outgoing = OutgoingAudio()
        whole: list[set[int]] = []
        for first in range(1, 12):
            while outgoing._ticks < first:
                outgoing.on_half_tick()
            padding = outgoing.padding_bytes(frame_bytes, frame_bytes=frame_bytes, piece_bytes=piece_bytes)
            assert 0 <= padding < piece_bytes
            have = [padding + (n + 1) * frame_bytes for n in range(16)]
            pieces = [0, *(bytes_ // piece_bytes for bytes_ in have)]
            whole.append({(first + n) % 8 for n in range(16) if pieces[n + 1] > pieces[n]})
        assert all(ticks <= set.union(*whole) and len(set.union(*whole)) == 5 for ticks in whole)
