"""Another voice and another language, where a service fails or does not start. Whole calls in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.settings import STTSettings, TTSSettings

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate
from piopiy_pipeline.tools import Persona
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import YES


class Voice(ToneTTS):
    """Keeps who has said what in which language. It fails at what it cannot say."""

    def __init__(self, name: str, spoken: list[tuple[str, str, str]], *, fails_at: str = "") -> None:
        super().__init__()
        self.label = name
        self.spoken = spoken
        self.fails_at = fails_at
        self._settings = TTSSettings(model=None, voice=f"{name}'s", language="en")

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        if self.fails_at and self.fails_at in text:
            await self.push_error("the voice is away")
            return
        settings: Any = self.settings
        self.spoken.append((f"{self.label} as {settings.voice}", str(settings.language), text))
        async for frame in super().run_tts(text, context_id):
            yield frame


class Absent(Voice):
    """Cannot be set up."""

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        raise ConnectionError("no such host")


def jean(**how: Any) -> Persona:
    return Persona(**{"name": "jean", "instructions": "You are Jean.", "language": "fr", **how})


class Desk:
    """A bot that hands the call over behind some of the caller's four turns; to None: back."""

    def __init__(self, voices: list[Voice], to: dict[int, Persona | None]) -> None:
        self.voices = voices
        self.ears = [ScriptedSTT(["one", "two", "three", "four"]) for _ in range(2)]
        self.to = to
        self.turns = 0

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)

        async def after_turn(_: object) -> None:
            self.turns += 1
            if self.turns in self.to:
                await call.hand_over(self.to[self.turns])

        agent.on("user_turn", after_turn)
        words = ("First.", "Second.", "Third.", "Fourth.", "Fifth.", "Sixth.", "Seventh.", "Eighth.")
        for ears in self.ears:
            ears._settings = STTSettings(model=None, language="en")
        await agent.Action(stt=self.ears, llm=ScriptedLLM(words), tts=self.voices)
        await agent.start()

    def called(self) -> SimulatedCall:
        caller = Caller()
        for _ in range(4):
            caller = caller.say(YES).pause(4)
        return simulate(self, caller)


def test_a_voice_that_takes_a_failed_ones_place_speaks_as_that_one_did() -> None:
    spoken: list[tuple[str, str, str]] = []
    voices = [Voice("ann", spoken, fails_at="Third"), Voice("bob", spoken)]
    Desk(voices, {1: jean(voice="amy"), 3: None}).called()
    assert [each[:2] for each in spoken] == [
        ("ann as ann's", "en"),
        ("ann as amy", "fr"),
        ("bob as amy", "fr"),
        ("bob as amy", "fr"),
        ("bob as amy", "fr"),
        ("bob as bob's", "en"),
        ("bob as bob's", "en"),
    ]


def test_a_voice_of_another_provider_is_told_the_language_alone() -> None:
    class Other(Voice):
        pass

    spoken: list[tuple[str, str, str]] = []
    voices = [Voice("ann", spoken, fails_at="Third"), Other("bob", spoken)]
    Desk(voices, {1: jean(voice="amy")}).called()
    assert [each[:2] for each in spoken[:3]] == [
        ("ann as ann's", "en"),
        ("ann as amy", "fr"),
        ("bob as bob's", "fr"),
    ]


def test_an_stt_that_takes_a_failed_ones_place_hears_the_language_of_the_call() -> None:
    desk = Desk([Voice("ann", [])], {1: jean()})
    ears: list[Any] = desk.ears
    first = ears[0]

    async def bot(call: Call) -> None:
        async def fails(_: object) -> None:
            await first.set_usable(False)
            await first.push_error("the line to the provider is cut")

        call.on("hand_off", fails)
        await desk(call)

    simulate(bot, Caller().say(YES).pause(4).say(YES).pause(4))
    assert [each.settings.language for each in ears] == ["fr", "fr"]


def test_a_voice_that_has_failed_is_not_gone_back_to_because_the_language_changes() -> None:
    spoken: list[tuple[str, str, str]] = []
    cyd = Voice("cyd", spoken)
    voices = [Voice("ann", spoken, fails_at="Fourth"), Voice("bob", spoken), cyd]
    to = {1: jean(voice=cyd), 2: None, 4: jean(name="anna", language="de")}
    Desk(voices, to).called()
    who = [each[:2] for each in spoken]
    assert who[:3] == [("ann as ann's", "en"), ("cyd as cyd's", "fr"), ("cyd as cyd's", "fr")]
    assert who[-1] == ("bob as bob's", "de")
    assert not any(each[0].startswith("ann") and each[1] == "de" for each in spoken)


def test_a_voice_that_does_not_start_leaves_the_one_before_and_the_language_changes() -> None:
    spoken: list[tuple[str, str, str]] = []
    absent = Absent("cyd", spoken)
    call = Desk([Voice("ann", spoken), absent], {1: jean(voice=absent), 3: None}).called()
    assert {each[0] for each in spoken} == {"ann as ann's"}
    assert [each[1] for each in spoken] == ["en", "fr", "fr", "fr", "en", "en"]
    assert [event.data["agent"] for event in call.of("hand_off")] == ["jean", ""]
