"""What an author asks of a call's line: hold, mute, recording, a clean sound, keys. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerLine, simulate
from tests.support.bots import LONG, voice
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")


def test_on_hold_the_bots_speech_waits_as_long_as_it_takes_and_nothing_of_it_is_lost() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting=LONG, texts=["yes"], idle_timeout_secs=4, reply_timeout_secs=2)
        agent.on("dtmf", lambda key: agent.hold(key == "1"))
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(2)
        await line.press("1")
        await line.at(10)
        await line.say(YES)
        await line.at(32)
        await line.press("2")
        await line.at(45)

    call = simulate(bot, caller)
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert texts(call, "bot") == [LONG]
    assert texts(call, "user") == [], "nobody hears a caller on hold"
    call.assert_no_error()
    call.assert_no_gap()
    on, off = (event.at for event in call.of("control"))
    assert not call.bot_audio[int(on * call.rate) + 400 : int(off * call.rate)].any()


def test_a_bot_that_hangs_up_takes_the_caller_off_hold_to_say_goodbye() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call)

        async def goodbye(_: object) -> None:
            agent.hold()
            saying = asyncio.create_task(call.say("Thank you, goodbye."))
            await agent.hangup()
            await saying

        agent.on("answered", goodbye)
        await agent.start()

    call = simulate(bot, Caller().pause(60))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert texts(call, "bot") == ["Thank you, goodbye."]


def test_a_muted_caller_is_not_understood_and_hears_the_bot() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.", texts=["yes"], replies=["I see."])
        agent.on("answered", lambda _: agent.mute())
        agent.on("message", lambda _: agent.mute(False))
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.say(YES)
        await line.pause(4)
        line.send({"hear": "me"})
        await line.say(YES)
        await line.my_turn()

    call = simulate(bot, caller)
    assert texts(call, "user") == ["yes"]
    assert texts(call, "bot") == ["Hello.", "I see."]
    assert len(call.of("vad_started")) == 1


def test_a_recording_is_asked_for_and_ended() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        agent.on("answered", lambda _: agent.start_recording())
        agent.on("bot_turn", lambda _: agent.stop_recording())
        await agent.start()

    call = simulate(bot, Caller())
    assert [event.data for event in call.of("control")] == [
        {"what": "record", "on": True},
        {"what": "record", "on": False},
    ]


def test_a_clean_sound_is_asked_for_and_ended() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        agent.on("answered", lambda _: call.clean_sound())
        agent.on("bot_turn", lambda _: call.clean_sound(False))
        await agent.start()

    call = simulate(bot, Caller())
    assert [event.data for event in call.of("control")] == [
        {"what": "clean_sound", "on": True},
        {"what": "clean_sound", "on": False},
    ]


@pytest.mark.parametrize("on", [True, False])
def test_a_clean_sound_that_is_asked_for_before_the_answer_is_asked_for_then(on: bool) -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        agent.clean_sound(not on)
        agent.clean_sound(on)
        await agent.start()

    call = simulate(bot, Caller())
    assert [event.data for event in call.of("control")] == [{"what": "clean_sound", "on": on}]


def test_keys_are_pressed_behind_what_is_said_or_at_once_and_an_interruption_cuts_none_off() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call)

        async def press(_: object) -> None:
            saying = asyncio.create_task(call.say(LONG))
            await asyncio.sleep(0)  # until it is on its way to the TTS
            await agent.send_dtmf("12#")
            await agent.send_dtmf("9", at_once=True)
            await saying

        agent.on("answered", press)
        await agent.start()

    call = simulate(bot, Caller().pause(10))
    first, second = call.of("dtmf")
    assert (first.data["digits"], second.data["digits"]) == ("9", "12#")
    assert first.at < 0.1
    assert second.at == pytest.approx(call.of("bot_stopped")[0].at, abs=0.3)
    cut = simulate(bot, Caller().interrupt(PEOPLE, after=1.0).pause(3))
    cut.assert_interrupted()
    assert [event.data["digits"] for event in cut.of("dtmf")] == ["9", "12#"]
    assert cut.of("dtmf")[1].at == pytest.approx(cut.of("interruption")[0].at, abs=0.1), (
        "they wait for no speech"
    )


def test_the_callers_keys_are_an_event() -> None:
    pressed: list[str] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.", idle_timeout_secs=5)
        agent.on("dtmf", pressed.append)
        await agent.start()

    call = simulate(bot, Caller().pause(4).press("4A").pause(4).press("#"))
    assert pressed == ["4", "A", "#"]
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert call.duration_s - 8.2 == pytest.approx(5.0, abs=1.0), "who presses keys is there"
    assert texts(call, "user") == []
