"""Answers that are begun on interim transcripts: kept if the final one has the same words. In virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.services.stt.withdrawn_interim import WithdrawnInterimFrame
from piopiy_pipeline.testing import Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from tests.call.test_watching import Watcher
from tests.support.virtual import PEOPLE, YES, info, texts
from tests.turns.test_eager_models import FIRST, Bot, model
from tests.turns.test_eager_turns import in_parts

FINAL_S = 0.5
"""From the caller's last sound to the final transcript; the VAD's stop is at 0.2 s."""


class InterimSTT(ScriptedSTT):
    """Sends an interim transcript of each utterance when the VAD tells this, and the final one later."""

    def __init__(
        self,
        interims: Sequence[str],
        finals: Sequence[str],
        *,
        at: type[Frame] = VADUserStoppedSpeakingFrame,
    ) -> None:
        super().__init__(Transcripts(texts=finals, latency=FINAL_S))
        self._interims = list(interims)
        self._tells_at = at

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, self._tells_at) and self._interims:
            await self.guess(self._interims.pop(0))

    async def guess(self, text: str) -> None:
        await self.push_frame(InterimTranscriptionFrame(text, "caller", time_now_iso8601()))


class FickleSTT(InterimSTT):
    """Takes its interim back at once: it was a noise."""

    async def guess(self, text: str) -> None:
        await super().guess(text)
        await self.push_frame(WithdrawnInterimFrame())


def heard(stt: ScriptedSTT, caller: Any = None, **script: Any) -> tuple[Bot, Watcher, list[str]]:
    bot = Bot(model(FIRST, **script), stt=stt)
    watcher = Watcher(bot)
    call = simulate(watcher, caller or in_parts(PEOPLE), info=info())
    return bot, watcher, texts(call, "bot")


def asked(bot: Bot) -> list[str]:
    return [messages[-1]["content"] for messages in bot.models[0].asked]


@pytest.mark.parametrize("final", ["four people", "Four people.", "FOUR, people!"])
def test_an_answer_to_an_interim_is_kept_if_the_final_has_the_same_words(final: str) -> None:
    bot, watcher, said = heard(InterimSTT(["four people"], [final]), latency=0.7)
    assert asked(bot) == ["four people"]
    assert said == bot.said() == [FIRST]
    assert [m["content"] for m in bot.context if m["role"] == "user"] == [final], "as the final has it"
    (latency,) = watcher.of("latency")
    assert latency["eager"]
    later, _, _ = heard(ScriptedSTT(Transcripts(texts=[final], latency=FINAL_S)), latency=0.7)
    assert (bot.budget.used, later.budget.used) == (1, 1)
    assert latency["eager_saved_s"] > FINAL_S - 0.2 - 0.05, "the time until the final transcript, too"


def test_an_answer_to_an_interim_is_given_up_when_the_final_has_other_words() -> None:
    bot, watcher, said = heard(InterimSTT(["for people"], ["four people"]))
    assert asked(bot) == ["for people", "four people"]
    assert said == bot.said() == [FIRST]
    assert watcher.of("eager_dropped") == [{"reason": "there are other words", "wasted": 1}]


def test_an_interim_that_was_a_noise_is_given_up() -> None:
    bot, watcher, said = heard(FickleSTT(["for people"], ["four people"]))
    assert asked(bot) == ["for people", "four people"]
    assert said == [FIRST]
    assert len(watcher.of("eager_dropped")) == 1


def test_interims_that_were_wrong_are_waited_for_until_one_would_have_been_right() -> None:
    finals = ["one", "two", "three", "four"]
    stt = InterimSTT(["wrong", "two", "three", "four"], finals)
    bot, watcher, _ = heard(stt, in_parts(PEOPLE, YES, YES, YES, pause_s=5))
    assert asked(bot) == ["wrong", *finals]
    begun_at_interim = [latency["eager_saved_s"] for latency in watcher.of("latency")]
    assert bot.budget.wasted == 1
    assert len(begun_at_interim) == 4


def test_words_that_came_before_the_last_sound_begin_no_answer() -> None:
    bot, _, _ = heard(InterimSTT(["four"], ["four people"], at=VADUserStartedSpeakingFrame))
    assert asked(bot) == ["four people"], "the interim lacks the last words"
    assert bot.budget.wasted == 0
