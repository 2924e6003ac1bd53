"""Callers who may not interrupt, or only with so many words: what they say is a turn when the bot has finished.

Whole calls in virtual time, with a voice that tells its words' times and a bot whose answers are numbered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    LLMContextFrame,
    TranscriptionFrame,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Replies, ScriptedLLM, SimulatedCall, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.turns.turn_after_bot import TurnAfterBot
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bot_kinds import ONE
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, YES, info, texts

pytestmark = pytest.mark.usefixtures("either_bot")

FIRST = "This is the first answer, and it is long enough that somebody can speak while it is said."
SECOND = "This is the second answer."
NOTICE = "This call is recorded."


class _AskedLLM(ScriptedLLM):
    def __init__(self, *replies: str) -> None:
        super().__init__(Replies(*replies, otherwise="Anything else?", latency=0.3))
        self.asked: list[list[Any]] = []

    async def process_frame(self, frame: Any, direction: Any) -> None:
        if isinstance(frame, LLMContextFrame):
            messages: list[Any] = frame.context.get_messages()
            self.asked.append([m["content"] for m in messages])
        await super().process_frame(frame, direction)


@dataclass
class Seen:
    """What a call has shown."""

    call: SimulatedCall
    asked: list[list[Any]]
    conversation: list[tuple[str, str]]
    transcript: list[tuple[str, bool]] = field(default_factory=list)


def called(
    *over: Path, hears: tuple[str, ...], first_s: float = 2.0, apart_s: float = 0.8, **options: Any
) -> Seen:
    """Call a bot, and say these over its first answer, one after the other."""
    says, author = options.pop("says", ""), options.pop("author_s", 0.0)
    protected, ends = options.pop("protected", False), options.pop("ends", bool(over))
    llm = _AskedLLM(FIRST, SECOND)
    seen: list[Seen] = []

    async def caller(line: CallerLine) -> None:
        await line.pause(0.5)
        await line.say(PEOPLE)
        while not line.bot_speaking:
            await line.pause(0.02)
        await line.pause(first_s)
        for number, sound in enumerate(over):
            if number:
                await line.pause(apart_s)
            await line.say(sound)
        await line.until("second" if ends else "first")
        await line.pause(6)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False)
        stt = ScriptedSTT(Transcripts(texts=("four people", *hears)))
        await agent.Action(stt=stt, llm=llm, tts=ToneTTS(words=True), **options)

        async def say(_: object) -> None:
            await asyncio.sleep(author)
            await agent.say(says, interruptible=not protected)

        if says:
            agent.on("answered", say)
        await agent.start()
        assert agent.context is not None
        context: list[Any] = agent.context.get_messages()
        messages = [(m["role"], str(m["content"])) for m in context[1:]]
        said = [(turn.text, turn.backchannel) for turn in call.transcript if turn.role == "user"]
        seen.append(Seen(None, llm.asked, messages, said))  # type: ignore[arg-type]

    call = simulate(bot, caller, info=info())
    seen[0].call = call
    return seen[0]


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("never", [{"interruption": "never"}, {"allow_interruptions": False}])
def test_what_is_said_over_a_bot_that_nothing_interrupts_is_one_turn_when_it_has_finished(
    eager: bool, never: dict[str, Any]
) -> None:
    seen = called(YES, YES, hears=("is there parking", "and a garden"), eager=eager, **never)
    assert seen.conversation == [
        ("user", "four people"),
        ("assistant", FIRST),
        ("user", "is there parking and a garden"),
        ("assistant", SECOND),
    ]
    assert texts(seen.call, "bot") == [FIRST, SECOND]
    assert not seen.call.of("interruption")
    assert all(FIRST in asked for asked in seen.asked[1:]), (
        "the model knows what was heard before it is asked"
    )
    heard_at, turn_at = (seen.call.of(kind)[n].at for kind, n in (("bot_turn", 0), ("user_turn", 1)))
    assert heard_at <= turn_at <= heard_at + 0.5


def test_a_caller_who_still_speaks_when_the_bot_has_finished_is_heard_out() -> None:
    seen = called(YES, PEOPLE, hears=("is there parking", "and a garden"), first_s=2.6, interruption="never")
    assert ("user", "is there parking and a garden") in seen.conversation
    assert texts(seen.call, "bot") == [FIRST, SECOND]


def test_what_the_author_says_behind_an_answer_is_waited_for_too() -> None:
    seen = called(YES, hears=("is there parking",), says=NOTICE, author_s=4.5, interruption="never")
    assert texts(seen.call, "bot") == [FIRST, NOTICE, SECOND]
    assert seen.conversation == [
        ("user", "four people"),
        ("assistant", FIRST),
        ("assistant", NOTICE),
        ("user", "is there parking"),
        ("assistant", SECOND),
    ]


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.three_services("words come too late to interrupt")
def test_fewer_words_than_interrupt_are_a_turn_when_the_bot_has_finished(eager: bool) -> None:
    seen = called(YES, hears=("Saturday.",), interruption=3, eager=eager)
    assert seen.conversation == [
        ("user", "four people"),
        ("assistant", FIRST),
        ("user", "Saturday."),
        ("assistant", SECOND),
    ]


@pytest.mark.three_services("words come too late to interrupt")
def test_the_words_of_one_stretch_add_up_until_they_interrupt() -> None:
    seen = called(YES, YES, hears=("not Friday.", "Saturday."), interruption=3, first_s=1.2, apart_s=0.4)
    assert ("user", "not Friday. Saturday.") in seen.conversation
    assert texts(seen.call, "bot")[0] != FIRST, "the bot was cut off"
    assert texts(seen.call, "bot")[1] == SECOND


@pytest.mark.three_services("words come too late to interrupt")
def test_words_of_two_stretches_do_not_add_up() -> None:
    seen = called(YES, YES, hears=("Friday.", "Saturday."), interruption=2, first_s=1.0, apart_s=2.0)
    assert texts(seen.call, "bot") == [FIRST, SECOND]
    assert ("user", "Friday. Saturday.") in seen.conversation


@pytest.mark.three_services("words come too late to interrupt")
def test_what_a_listener_says_is_no_turn_and_in_the_transcript() -> None:
    seen = called(YES, YES, hears=("mhm", "Saturday."), interruption=3, first_s=1.0)
    assert seen.transcript == [("four people", False), ("mhm", True), ("Saturday.", False)]
    assert ("user", "Saturday.") in seen.conversation


@pytest.mark.parametrize("interruption", [None, "immediate", "never", 1, VADUserTurnStartStrategy()])
def test_what_is_said_over_a_protected_notice_is_a_turn_when_it_was_heard(
    interruption: Any, either_bot: str
) -> None:
    if interruption == 1 and either_bot == ONE:
        pytest.skip("words come too late to interrupt")
    notice = " ".join([NOTICE] * 3)
    options: dict[str, Any] = {} if interruption is None else {"interruption": interruption}
    seen = called(YES, hears=("parking",), says=notice, author_s=4.5, protected=True, first_s=6.0, **options)
    assert seen.conversation == [
        ("user", "four people"),
        ("assistant", FIRST),
        ("assistant", notice),
        ("user", "parking"),
        ("assistant", SECOND),
    ]
    assert texts(seen.call, "bot") == [FIRST, notice, SECOND]


def test_a_listener_of_a_protected_notice_takes_no_turn() -> None:
    notice = " ".join([NOTICE] * 3)
    seen = called(YES, hears=("mhm",), says=notice, author_s=4.5, protected=True, first_s=6.0, ends=False)
    assert texts(seen.call, "bot") == [FIRST, notice]
    assert seen.transcript == [("four people", False), ("mhm", True)]


def test_two_utterances_without_a_pause_are_turns_with_their_own_words() -> None:
    seen = called(hears=(), says=NOTICE, author_s=4.5)
    assert texts(seen.call, "bot") == [FIRST, NOTICE]
    assert [text for role, text in seen.conversation if role == "assistant"] == [FIRST, NOTICE]


def test_what_is_kept_is_heard_in_the_turn_that_another_strategy_begins() -> None:
    heard: list[str] = []
    begun: list[object] = []

    async def turn() -> None:
        strategy = TurnAfterBot(FrameProcessor())

        async def hear(frame: Frame) -> None:
            assert isinstance(frame, TranscriptionFrame)
            heard.append(frame.text)

        strategy.hear = hear
        strategy.add_event_handler("on_user_turn_started", lambda *_: begun.append(1))
        await strategy.process_frame(BotStartedSpeakingFrame())
        await strategy.process_frame(TranscriptionFrame("parking", "", ""))
        assert not heard, "the bot is heard to its end"
        await strategy.handle_user_turn_started()
        assert heard == ["parking"]
        await strategy.handle_user_turn_stopped()
        await strategy.process_frame(BotStoppedSpeakingFrame())
        await strategy.cleanup()

    asyncio.run(turn())
    assert heard == ["parking"], "and not once more as a turn of its own"
    assert not begun
