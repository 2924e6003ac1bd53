"""What an author says and hears of: `say()`, events in their order, idle timeout, services that are switched.

In virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import Frame

from piopiy_pipeline.call import CallEnd, EndReason, Turn
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerLine, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged, longest_hole_s
from tests.support.bots import voice
from tests.support.services import SECONDS_A_CHARACTER, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import AT_ONCE, BETWEEN_WORDS_S, YES, info, spoken_with_pauses_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."
SHORT = "One moment."


def test_say_tells_whether_it_was_heard_in_full() -> None:
    heard: dict[str, tuple[bool, float]] = {}

    async def bot(call: Call) -> None:
        agent = await voice(call, texts=["yes"], replies=["I see."])
        with pytest.raises(RuntimeError, match="answered"):
            await agent.say("too early")
        loop = asyncio.get_running_loop()

        async def speak(_: object) -> None:
            start = loop.time()
            heard["short"] = await agent.say(SHORT), loop.time() - start
            start = loop.time()
            heard["cut"] = await agent.say(LONG), loop.time() - start

        agent.on("answered", speak)
        await agent.start()

    async def cuts_in(line: CallerLine) -> None:
        await line.until(SHORT)
        await line.pause(1.5)
        await line.say(YES)
        await line.until("I see")

    call = simulate(bot, cuts_in)
    assert {name: whole for name, (whole, _) in heard.items()} == {"short": True, "cut": False}
    assert heard["short"][1] == pytest.approx(SECONDS_A_CHARACTER * len(SHORT), abs=0.4)
    assert heard["cut"][1] < 3.2, "it returns when the caller cuts in"
    assert texts(call, "user") == ["yes"]
    assert texts(call, "bot")[-1] == "I see."


def test_what_must_not_be_interrupted_is_heard_whole(either_bot: str) -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, texts=["yes"], replies=["I see."])

        async def speak(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", speak)
        await agent.start()

    call = simulate(bot, Caller().interrupt(YES, after=1.0))
    assert heard == [True]
    assert spoken_with_pauses_s(call) > 0.9 * SECONDS_A_CHARACTER * len(LONG + "I see.")
    pause_s = 0.0 if either_bot == "three services" else BETWEEN_WORDS_S  # of its voice
    hole_s = longest_hole_s(call.bot_audio, call.rate)
    assert hole_s < 0.05 + pause_s, "what was cut off is sent again, in time"
    said = " ".join(texts(call, "bot"))
    assert LONG in said
    assert said.endswith("I see.")


def test_events_come_in_the_order_in_which_things_happen() -> None:
    seen: list[str] = []
    transcript: list[Turn] = []

    async def bot(call: Call) -> None:
        async def look_up(params: Any) -> None:
            """Look something up."""
            await params.result_callback({"free": True})

        agent = await voice(
            call,
            greeting="Hello.",
            texts=["a table"],
            replies=[("look_up", {}), "It is free."],
            tools=[look_up],
        )
        agent.on("answered", lambda _: seen.append("answered"))
        agent.on("user_turn", lambda turn: seen.append(f"user: {turn.text}"))
        agent.on("bot_turn", lambda turn: seen.append(f"bot: {turn.text}"))
        agent.on("tool", lambda use: seen.append(f"tool: {use.name} {use.result}"))
        agent.on("error", lambda error: seen.append(f"error: {error.message}"))

        async def ended(end: CallEnd) -> None:
            await asyncio.sleep(0.2)  # a note is written somewhere
            logger.info("note written")
            seen.append(f"end: {end.reason.value}")

        agent.on("end", ended)
        await agent.start()
        transcript.extend(agent.transcript)

    with logged() as lines:
        simulate(bot, Caller().say(YES), info=info())
    assert (info().call_id, "INFO note written") in lines, "the log line knows its call"
    assert seen == [
        "answered",
        "bot: Hello.",
        "user: a table",
        "tool: look_up None",
        "tool: look_up {'free': True}",
        "bot: It is free.",
        "end: caller_hangup",
    ]
    assert [turn.text for turn in transcript] == ["Hello.", "a table", "It is free."]
    assert [turn.at_s for turn in transcript] == sorted(turn.at_s for turn in transcript)


@pytest.mark.parametrize("hangs_up", ["bot", "caller"])
def test_a_handler_of_the_end_may_take_its_time(hangs_up: str) -> None:
    noted: list[EndReason] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")

        async def ended(end: CallEnd) -> None:
            await asyncio.sleep(0.3)
            noted.append(end.reason)

        agent.on("end", ended)
        if hangs_up == "bot":
            agent.on("answered", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller() if hangs_up == "bot" else Caller().until("Hello").hangup())
    assert noted == [EndReason.AGENT_HANGUP if hangs_up == "bot" else EndReason.CALLER_HANGUP]


@pytest.mark.parametrize("raises", ["user_turn", "bot_turn", "end"])
def test_a_handler_that_raises_is_logged_and_the_call_goes_on(raises: str) -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.", texts=["yes"], replies=["I see."])

        def fails(_: object) -> None:
            raise LookupError("no such table in the database")

        agent.on(raises, fails)
        await agent.start()

    with logged() as lines:
        call = simulate(bot, Caller().say(YES), info=info())
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == ["Hello.", "I see."]
    assert any(call_id == info().call_id and raises in line for call_id, line in lines)


def test_nobody_speaking_ends_the_call() -> None:
    call = simulate(idles, Caller().pause(60))
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    assert 3.0 < call.duration_s < 4.5


def test_a_caller_who_speaks_keeps_the_call_alive_though_nothing_is_understood() -> None:
    call = simulate(idles, Caller().say(AT_ONCE).pause(60))
    call.assert_ended(EndReason.IDLE_TIMEOUT)
    (speech,) = call.of("user_speech")
    assert speech.data["end"] - speech.data["start"] > 4, "longer than the timeout"
    assert 2.9 < call.duration_s - speech.data["end"] < 10, "counted from the end of the turn"


async def idles(call: Call) -> None:
    await (await voice(call, greeting="Hello.", idle_timeout_secs=3)).start()


class BrokenTTS(ToneTTS):
    """Its key was withdrawn: it says so at the first sentence, and takes no more work."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await self.push_error("invalid key", force_treat_as_permanent=True)
        return
        yield None


@pytest.mark.three_services("there is one service")
def test_a_tts_that_has_become_unusable_is_replaced_by_the_next() -> None:
    second: list[ToneTTS] = []

    async def bot(call: Call) -> None:
        second.append(ToneTTS())
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello there.", call=call)
        voices = [BrokenTTS(), second[0]]
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(["I see."]), tts=voices)
        await agent.start()

    call = simulate(bot, Caller().say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert second[0].said == ["Hello there.", "I see."], "what was not said is said by the other"
    assert [error.data["stage"] for error in call.of("error")] == ["tts"]


@pytest.mark.three_services("there is one service")
def test_services_can_be_switched_while_the_call_runs() -> None:
    spoken: dict[str, list[str]] = {}

    async def bot(call: Call) -> None:
        voices = [ToneTTS(), ToneTTS()]
        ears = [ScriptedSTT(["first ear"]), ScriptedSTT(["second ear"])]
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
        await agent.Action(stt=ears, llm=ScriptedLLM(["I see."]), tts=voices)

        async def switch(_: object) -> None:
            await agent.switch_service(voices[1])
            await agent.switch_service(ears[1])

        agent.on("bot_turn", switch)
        await agent.start()
        spoken.update(a=voices[0].said, b=voices[1].said)

    call = simulate(bot, Caller().say(YES))
    assert texts(call, "user") == ["second ear"]
    assert spoken == {"a": ["Hello."], "b": ["I see."]}
