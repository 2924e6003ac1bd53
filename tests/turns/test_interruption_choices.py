"""What an author chooses of interruptions, and what cannot be chosen. The calls are of `test_held_turn_start.py`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import MinWordsUserTurnStartStrategy

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, simulate
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy
from piopiy_pipeline.turns.strategies import interruption_of, turns_for
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT
from tests.support.virtual import PEOPLE
from tests.turns.test_held_turn_start import LONG, MHM, RATE, NoiseTTS, at_1_5_s, call_with


@pytest.mark.parametrize(
    ("options", "holds", "whole"),
    [
        ({}, True, True),
        ({"interruption": "held"}, True, True),
        ({"interruption": BargeInPolicy(language="de")}, True, True),
        ({"interruption": "immediate"}, False, False),
        ({"interruption": "never"}, False, True),
        ({"allow_interruptions": False}, False, True),
        ({"interruption": 3}, False, True),
        ({"interruption_strategy": MinWordsUserTurnStartStrategy(min_words=3)}, False, True),
    ],
    ids=["default", "held", "policy", "immediate", "never", "not allowed", "words", "strategy"],
)
def test_an_author_chooses_what_a_hum_does(options: dict[str, Any], holds: bool, whole: bool) -> None:
    seen = call_with(at_1_5_s(MHM), hears=("Mhm.",), **options)
    assert bool(seen.call.of("hold")) is holds
    assert seen.heard_in_full == [whole]


@pytest.mark.parametrize(
    ("interruption", "allowed", "strategy", "says"),
    [
        ("sometimes", True, None, "it is 'held'"),
        (True, True, None, "it is 'held'"),
        (0, True, None, "one word at least"),
        ("held", False, None, "give one of the two"),
        ("held", True, MinWordsUserTurnStartStrategy(min_words=3), "give either"),
        (None, False, MinWordsUserTurnStartStrategy(min_words=3), "nobody can"),
    ],
)
def test_what_cannot_be_is_refused(interruption: Any, allowed: bool, strategy: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        turns_for(interruption_of(interruption, allowed, strategy), FrameProcessor(), None)


@pytest.mark.parametrize("interruption", [object(), 1.5])
def test_what_is_of_no_kind_is_refused(interruption: Any) -> None:
    with pytest.raises(TypeError, match="BargeInPolicy"):
        turns_for(interruption, FrameProcessor(), None)


def test_a_gateway_that_cannot_hold_clears_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made = CallerLink.__init__

    def older(self: CallerLink, *args: Any, **more: Any) -> None:
        made(self, *args, **more)
        self.can_hold = False

    monkeypatch.setattr(CallerLink, "__init__", older)
    seen = call_with(at_1_5_s(MHM), hears=("Mhm.",))
    assert not seen.call.of("hold")
    assert seen.heard_in_full == [False]


def test_without_a_vad_words_alone_decide() -> None:
    seen = call_with(at_1_5_s(MHM), hears=("Mhm.",), vad=False)
    assert seen.heard_in_full == [True]


@pytest.mark.parametrize("delay_s", [0.06, 0.14, 0.3])
@pytest.mark.parametrize("gain", [0.3, 0.1])
def test_the_bots_echo_does_not_interrupt_it(
    monkeypatch: pytest.MonkeyPatch, delay_s: float, gain: float
) -> None:
    """A speakerphone sends back speech of a real voice; the first sound of it may be held, and that is all."""
    speech = read_wav(PEOPLE, RATE)
    speech = np.tile(speech, 4)

    class Voice(NoiseTTS):
        async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
            for at in range(0, speech.size, 1600):
                yield TTSAudioRawFrame(speech[at : at + 1600].tobytes(), RATE, 1, context_id=context_id)

    said = CallerLink._voice

    def with_echo(self: CallerLink, now: float) -> bytes:
        frame = np.frombuffer(said(self, now), "<i2").astype(float)
        behind = int(delay_s * RATE) * 2
        heard = bytes(self._heard)
        echo = np.frombuffer(
            heard[max(0, len(heard) - behind) :][: frame.size * 2].ljust(frame.size * 2, b"\0"), "<i2"
        )
        return np.clip(frame + gain * echo, -32768, 32767).astype("<i2").tobytes()

    monkeypatch.setattr(CallerLink, "_voice", with_echo)
    heard: list[bool] = []

    async def bot(info: CallInfo | None = None, call: Call | None = None) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(stt=ScriptedSTT(()), llm=ScriptedLLM(()), tts=Voice(words=False))

        async def speak(_: object) -> None:
            heard.append(await agent.say(LONG))

        agent.on("answered", speak)
        await agent.start()

    async def listener(line: CallerLine) -> None:
        await line.at(16.0)

    call = simulate(bot, listener)
    assert heard == [True]
    assert not call.of("interruption")
    assert len(call.of("hold")) <= 2, "it learns what its echo is"
