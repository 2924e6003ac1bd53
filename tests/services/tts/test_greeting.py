"""A greeting that was said before begins at once, in the same voice and in no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import TTSAudioRawFrame

from piopiy_pipeline.services.tts.greeting import GreetingAudio
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate_many
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import hang_up_when_answered
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import texts

GREETING = "Welcome to the Blue Door."
LATENCY_S = 0.5


class SlowTTS(ToneTTS):
    """Takes its time, and counts what it was asked for."""

    def __init__(self, asked: list[str], *, pitch: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.pitch = pitch
        self._ask = asked.append

    async def run_tts(self, text: str, context_id: str) -> Any:
        self._ask(text)
        await asyncio.sleep(LATENCY_S)
        async for frame in super().run_tts(text, context_id):
            yield frame


def two_calls(*voices: Any, greeting: str | None = GREETING) -> tuple[list[SimulatedCall], list[str]]:
    """Have two callers call one after the other, each greeted by the next of these voices."""
    left = list(voices)
    asked: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=greeting, call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=left.pop(0)(asked))
        hang_up_when_answered(agent)
        await agent.start()

    async def later(line: Any) -> None:
        await line.at(20)

    async def wait(call: Call) -> None:
        if len(left) < len(voices):
            await asyncio.sleep(5)  # the first call is over by then
        await bot(call)

    return list(simulate_many(wait, [Caller().pause(9), later])), asked


@pytest.mark.parametrize("words", [False, True])
def test_the_second_call_is_greeted_at_once(words: bool) -> None:
    (first, second), asked = two_calls(*[lambda asked: SlowTTS(asked, words=words)] * 2)
    assert asked == [GREETING]
    assert first.of("bot_audio")[0].at >= LATENCY_S
    assert second.of("bot_audio")[0].at < 0.1
    assert texts(first, "bot") == texts(second, "bot") == [GREETING]
    assert second.bot_audio[: second.rate].any()
    loud = [call.bot_audio[call.bot_audio != 0] for call in (first, second)]
    assert loud[0].tolist() == loud[1].tolist(), "the same samples"


def test_another_voice_is_asked_itself() -> None:
    _, asked = two_calls(lambda asked: SlowTTS(asked, pitch=1), lambda asked: SlowTTS(asked, pitch=2))
    assert asked == [GREETING, GREETING]


def test_a_greeting_that_failed_is_not_kept() -> None:
    calls, _ = two_calls(
        lambda asked: SlowTTS(asked, fail_first=1), lambda asked: SlowTTS(asked, fail_first=0)
    )
    assert texts(calls[1], "bot") == [GREETING]
    assert calls[1].of("bot_audio")[0].at >= LATENCY_S


def test_what_is_kept_is_bounded() -> None:
    kept = GreetingAudio(limit=1000)
    for number in range(9):
        kept.put(str(number), (TTSAudioRawFrame(bytes(200), 8000, 1),))
    kept.put("long", (TTSAudioRawFrame(bytes(300), 8000, 1),))
    kept.put("silent", ())
    assert [key for key in map(str, range(9)) if kept.get(key)] == ["4", "5", "6", "7", "8"]
    assert kept.get("long") is None
    assert kept.get("silent") is None
