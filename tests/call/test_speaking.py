"""What an author says and hears of: `say()`, events in their order, idle timeout, services that are switched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import Frame

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.bots import voice
from tests.support.calls import eventually, house
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."
SHORT = "One moment."


def test_say_tells_whether_it_was_heard_in_full() -> None:
    heard: dict[str, bool] = {}

    async def bot(call: Call, metadata: dict[str, Any]) -> None:
        agent = await voice(call, texts=["yes"], replies=["I see."])
        with pytest.raises(RuntimeError, match="answered"):
            await agent.say("too early")

        async def speak(_: object) -> None:
            heard["short"] = await agent.say(SHORT)
            heard["cut"] = await agent.say(LONG)

        agent.on("answered", speak)
        await agent.start()

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call("booking/03-yes.wav", interrupt_s=1.5, hangup_after_s=2, metadata={})
        assert heard == {"short": True, "cut": False}
        assert log.texts("user") == ["yes"]
        assert log.texts("bot")[-1] == "I see."

    asyncio.run(scenario())


def test_what_must_not_be_interrupted_is_heard_whole() -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, texts=["yes"], replies=["I see."])

        async def speak(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", speak)
        await agent.start()

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call("booking/03-yes.wav", interrupt_s=1.0, hangup_after_s=2.5)
        assert heard == [True]
        loud = abs(log.heard.astype(int)) > 500
        assert loud.sum() > 0.9 * 0.06 * len(LONG) * 16000
        said = " ".join(log.texts("bot"))
        assert LONG in said
        assert said.endswith("I see.")

    asyncio.run(scenario())


def test_events_come_in_the_order_in_which_things_happen() -> None:
    seen: list[str] = []
    contexts: list[Any] = []

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
        contexts.append(agent.transcript)

    async def scenario() -> None:
        with logged() as lines:
            async with house(bot) as place:
                log = await place.call("booking/03-yes.wav", hangup_after_s=1.5)
                await eventually(lambda: place.agent.active == 0, 10)
        call_id = log.of("ringing")[0]["call_id"]
        assert (call_id, "INFO note written") in lines
        assert seen == [
            "answered",
            "bot: Hello.",
            "user: a table",
            "tool: look_up None",
            "tool: look_up {'free': True}",
            "bot: It is free.",
            "end: caller_hangup",
        ]
        assert [turn.text for turn in contexts[0]] == ["Hello.", "a table", "It is free."]

    asyncio.run(scenario())


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
            agent.on("answered", lambda _: asyncio.ensure_future(agent.hangup()))
        await agent.start()

    async def scenario() -> None:
        async with house(bot) as place:
            await place.call(hangup_after_s=0.5)
            await eventually(lambda: place.agent.active == 0, 10)
        assert noted == [EndReason.AGENT_HANGUP if hangs_up == "bot" else EndReason.CALLER_HANGUP]

    asyncio.run(scenario())


def test_nobody_speaking_ends_the_call_and_a_caller_who_speaks_keeps_it_alive() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.", idle_timeout_secs=3)).start()

    async def scenario() -> None:
        async with house(bot) as place:
            silent, speaking = await asyncio.gather(
                place.call(hangup_after_s=20),
                # 4.4 s of speech, of which the STT understands nothing
                place.call("booking_at_once/01-everything.wav", hangup_after_s=20),
            )
        for log in (silent, speaking):
            assert log.reason is EndReason.IDLE_TIMEOUT
            assert log.outcome is not None
        assert silent.outcome is not None
        assert speaking.outcome is not None
        assert 3.0 < silent.outcome.duration_s < 6
        assert speaking.outcome.duration_s > 7.0

    asyncio.run(scenario())


class BrokenTTS(ToneTTS):
    """Its key was withdrawn: it says so at the first sentence, and takes no more work."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await self.push_error("invalid key", force_treat_as_permanent=True)
        return
        yield None


class RememberingTTS(ToneTTS):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.said.append(text)
        async for frame in super().run_tts(text, context_id):
            yield frame


def test_a_tts_that_has_become_unusable_is_replaced_by_the_next() -> None:
    second = None

    async def bot(call: Call) -> None:
        nonlocal second
        second = RememberingTTS()
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello there.", call=call)
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(["I see."]), tts=[BrokenTTS(), second])
        await agent.start()

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call("booking/03-yes.wav", hangup_after_s=2)
        assert log.reason is EndReason.CALLER_HANGUP
        assert second is not None
        assert second.said == ["Hello there.", "I see."], "what was not said is said by the other"
        assert [error["stage"] for error in log.of("error")] == ["tts"]

    asyncio.run(scenario())


def test_services_can_be_switched_while_the_call_runs() -> None:
    spoken: dict[str, list[str]] = {}

    async def bot(call: Call) -> None:
        voices = [RememberingTTS(), RememberingTTS()]
        ears = [ScriptedSTT(["first ear"]), ScriptedSTT(["second ear"])]
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
        await agent.Action(stt=ears, llm=ScriptedLLM(["I see."]), tts=voices)

        async def switch(_: object) -> None:
            await agent.switch_service(voices[1])
            await agent.switch_service(ears[1])

        agent.on("bot_turn", switch)
        await agent.start()
        spoken.update(a=voices[0].said, b=voices[1].said)

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call("booking/03-yes.wav", hangup_after_s=2)
            await eventually(lambda: spoken, 10)
        assert log.texts("user") == ["second ear"]
        assert spoken == {"a": ["Hello."], "b": ["I see."]}

    asyncio.run(scenario())
