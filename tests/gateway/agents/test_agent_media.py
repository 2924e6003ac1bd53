"""The media stream of a call over real sockets: positions, epochs, rates, and agents that misbehave."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.audio.frame import frame_bytes
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.agents.agent_media import MAX_MEDIA_BYTES, MESSAGES_PER_S
from piopiy_pipeline.gateway.core import leg
from piopiy_pipeline.signaling.media_events import FEATURES_HEADER, takes_holds
from tests.support.even_clock import EvenClock
from tests.support.gateway_peers import Peer, agent, bearer, caller, config


def test_played_cleared_and_played_again_to_the_sample() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=16000, played_every_ms=100)
            await line.hear("answered")
            await media.socket.send(b"\x01\x00" * 16000)
            assert await media.hear("played") == {
                "event": "played",
                "epoch": 0,
                "position": 320,
                "dry": False,
            }
            assert 320 < (await media.hear("played"))["position"] <= 320 + 1600
            assert (await media.hear("played"))["position"] >= 320 + 1600
            await media.say(event="clear", epoch=1)
            cleared = await media.hear("cleared")
            reached = cleared["position"]
            assert cleared["epoch"] == 1
            assert reached % 320 == 0
            await media.socket.send(b"\x02\x00" * 330)
            assert await media.hear("played") == {
                "event": "played",
                "epoch": 1,
                "position": 320,
                "dry": False,
            }
            assert await media.hear("played") == {"event": "played", "epoch": 1, "position": 330, "dry": True}

            heard = np.frombuffer(await line.hear_audio(reached // 320 + 2), "<i2")
            assert (heard == 1).sum() == reached, "what was reported is what the caller got"
            assert (heard == 2).sum() == 330
            assert (heard[:reached] == 1).all()

    asyncio.run(story())


def test_speech_that_is_held_is_silent_and_goes_on_to_the_sample() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=16000, played_every_ms=1000)
            await line.hear("answered")
            said = np.arange(1, 9601, dtype="<i2")
            await media.socket.send(said.tobytes())
            await media.hear("played")
            await media.say(event="hold", epoch=0)
            held = await media.hear("held")
            at = held["position"]
            assert held == {"event": "held", "epoch": 0, "position": at}
            before = np.frombuffer(await line.hear_audio(at // 320 + 1), "<i2")
            assert np.array_equal(before[:at], said[:at])
            await media.say(event="resume")
            while (told := await media.hear("played"))["position"] <= at:
                pass  # the report before the hold
            assert told["position"] == at + 320
            after = np.frombuffer(await line.hear_audio((9600 - at) // 320), "<i2")
            assert np.array_equal(before[at:] + after[:320], said[at : at + 320]), "both fades make a whole"
            assert np.array_equal(after[320:], said[at + 320 :])
            while not (told := await media.hear("played"))["dry"]:
                pass
            assert told == {
                "event": "played",
                "epoch": 0,
                "position": 9600,
                "dry": True,
            }

    asyncio.run(story())


def test_speech_that_a_hung_agent_holds_goes_on_by_itself() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=16000, played_every_ms=1000)
            await line.hear("answered")
            await media.socket.send(b"\x07\x00" * 6400)
            await media.hear("played")
            await media.say(event="hold", epoch=0)
            at = (await media.hear("held"))["position"]
            assert (await media.hear("played"))["position"] == at + 320
            await media.say(event="resume", position=0)
            while not (await media.hear("played"))["dry"]:
                pass
            heard = np.frombuffer(await line.hear_audio(6400 // 320 + 1), "<i2")
            assert (heard == 7).sum() >= 6400 - 640, "a decision that comes too late says nothing again"

    asyncio.run(story())


def test_a_clear_after_a_hold_tells_the_held_position() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=24000)
            await line.hear("answered")
            await media.socket.send(bytes(2 * 24000))
            await media.hear("played")
            await media.say(event="hold", epoch=0)
            held = await media.hear("held")
            await media.say(event="clear", epoch=1)
            assert (await media.hear("cleared"))["position"] == held["position"]

    asyncio.run(story())


def test_an_agent_that_is_killed_while_it_holds_does_not_end_the_call_for_the_caller() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway, "first") as one,
            caller(gateway) as line,
        ):
            offer, media = await one.take(bot_rate=16000)
            await line.hear("answered")
            await one.say(type="checkpoint", call_id=offer["call_id"], state={"n": 1})
            await media.socket.send(bytes(2 * 16000))
            await media.hear("played")
            await media.say(event="hold", epoch=0)
            await media.hear("held")
            async with agent(gateway, "second") as two:
                one.die()
                media.die()
                again, speech = await two.take(bot_rate=16000)
                assert again["checkpoint"] == {"n": 1}
                await speech.socket.send(b"\x05\x00" * 640)
                while await line.hear_audio(1) != b"\x05\x00" * 320:  # what the first one said comes before
                    pass
                assert await line.hear_audio(1) == b"\x05\x00" * 320, "the second one's speech is not held"

    asyncio.run(story())


def test_only_media_streams_say_that_speech_can_be_held() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            assert media.socket.response is not None
            assert takes_holds(media.socket.response.headers.get(FEATURES_HEADER))
            assert line.socket.response is not None
            assert FEATURES_HEADER not in line.socket.response.headers

    asyncio.run(story())


def test_each_side_hears_at_its_own_rate() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway, rate=8000) as line:
            offer, media = await one.take(caller_rate=16000, bot_rate=24000)
            assert offer["caller_rate"] == 8000
            await line.hear("answered")
            await line.socket.send(bytes(320))
            assert len(await media.hear_audio(1)) == 640
            await media.socket.send(bytes(960 * 3))
            sound = await line.hear_audio(4)
            assert len(sound) == 4 * frame_bytes(8000), "three frames and the filter's end"

    asyncio.run(story())


def test_a_bots_silence_is_silence_on_the_line() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            offer, media = await one.take()
            await line.hear("answered")
            await media.socket.send(bytes(640))
            while not (await media.hear("played"))["dry"]:
                pass
            await one.hangup(offer)
            await line.hear("ended")
            assert len(line.audio) == 1

    asyncio.run(story())


def test_speech_sent_before_the_answer_plays_after_it() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            offer = await one.offer()
            media = await one.open_media(offer)
            await media.socket.send(b"\x07\x00" * 320)
            await one.accept(offer)
            await one.hear("confirm")
            await one.answer(offer)
            await line.hear("answered")
            assert await line.hear_audio(1) == b"\x07\x00" * 320

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (['{"event": "clear", "epoch": 1, "why": "?"}'], "why"),
        (['{"event": "start", "caller_rate": 16000, "bot_rate": 16000}'], "started already"),
        (['{"event": "clear", "epoch": 1}', '{"event": "clear", "epoch": 1}'], "epochs must grow"),
        (['{"event": "hold", "epoch": 1}'], "hold of epoch 1"),
        (['{"event": "hold", "epoch": 0}', '{"event": "resume", "position": 1}'], "held at 0"),
        ([b"\0" * 3], "16-bit"),
        ([bytes(MAX_MEDIA_BYTES + 2)], "limit"),
        ([bytes(MAX_MEDIA_BYTES)] * 6, "more than 10 s"),
        (['{"event": "dtmf", "digits": "1"}'] * 300, "events a second"),
    ],
    ids=[
        "unknown key",
        "second start",
        "old epoch",
        "hold of another epoch",
        "resume ahead",
        "half a sample",
        "too long",
        "too far ahead",
        "flood",
    ],
)
def test_an_agent_that_breaks_the_rules_loses_the_stream_and_the_call(
    sent: list[str | bytes], told: str
) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            for message in sent:
                await media.socket.send(message)
            code, reason = await media.closed()
            assert code == 1008
            assert told in reason
            ended = await one.hear("ended")
            assert ended["reason"] == "error"
            assert told in ended["detail"]
            assert (await line.hear("ended"))["reason"] == "error"

    asyncio.run(story())


def test_a_flood_of_messages_is_left_out_in_part_and_never_costs_a_clear() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=16000)
            await line.hear("answered")
            await media.socket.send(b"\x01\x00" * 16000)
            for n in range(400):
                await media.say(event="message", data={"n": n})
            await media.say(event="clear", epoch=1)
            assert (await media.hear("cleared"))["epoch"] == 1
            passed = [(await line.hear("message"))["data"]["n"] for _ in range(2 * MESSAGES_PER_S)]
            assert passed == list(range(2 * MESSAGES_PER_S)), "so many at once, the first ones, in order"

    asyncio.run(story())


def test_audio_before_start_is_refused_and_the_call_goes_to_another() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway, "hasty") as hasty,
            agent(gateway, "good") as good,
            caller(gateway) as line,
        ):
            offer = await hasty.offer()
            async with connect(
                gateway.url + offer["media_path"],
                additional_headers=bearer(offer["media_token"]),
                proxy=None,
            ) as socket:
                await socket.send(bytes(640))
                assert "start first" in (await Peer(socket).closed())[1]
            await hasty.hear("cancel")
            await good.take()
            await line.hear("answered")

    asyncio.run(story())


def test_a_stall_of_the_gateways_own_loop_is_caught_up_within_bounds() -> None:
    async def story() -> None:
        clock = EvenClock()
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            await media.socket.send(b"\x01\x00" * 32000)
            await line.hear_audio(3)
            before = len(line.audio)
            clock.stall(1.0)
            await line.hear_audio(before + 12)
            [call] = gateway.switchboard.snapshot().calls
            assert call.gaps == 1
            assert call.worst_gap_s == pytest.approx(0.8, abs=0.05)

    asyncio.run(story())


def test_an_agent_that_stops_reading_misses_the_oldest_of_what_waits_and_hears_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leg, "AUDIO_AT_ONCE_S", 1e6)  # so that the test need not speak for as long
    half_a_second = 16000

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            media.socket.transport.pause_reading()
            sent = 0
            while gateway.switchboard.snapshot().calls[0].caller_dropped_s < 2:
                sent += 1
                assert sent < 4000
                await line.socket.send(sent.to_bytes(2, "little") * (half_a_second // 2))
                await asyncio.sleep(0)
            media.socket.transport.resume_reading()
            heard = np.zeros(0, "<i2")
            while not len(heard) or heard[-1] < sent:
                await line.socket.send(bytes(2))  # what waits goes out with what comes
                some = np.frombuffer(await media.hear_audio(1), "<i2")
                heard = np.concatenate([heard, some[some > 0]])
            while np.count_nonzero(heard == sent) < half_a_second // 2:
                some = np.frombuffer(await media.hear_audio(1), "<i2")
                heard = np.concatenate([heard, some[some > 0]])
            dropped_s = gateway.switchboard.snapshot().calls[0].caller_dropped_s
            assert np.array_equal(heard, np.sort(heard))
            whole = np.bincount(heard, minlength=sent + 1)[1:] == half_a_second // 2
            assert whole[-8:].all(), "the last seconds are whole"
            assert sent * 0.5 - len(heard) / 16000 == pytest.approx(dropped_s, abs=0.01)

    asyncio.run(story())
