"""A provider fails, or a stage misbehaves: what the caller hears, and how the call ends. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.providers.provider_failures import CLOSING_LINE
from piopiy_pipeline.testing import (
    Caller,
    CallStuck,
    Disconnects,
    Garbage,
    Providers,
    Refused,
    Replies,
    SimulatedCall,
    Stalls,
    TimesOut,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.bot_kinds import THREE
from tests.support.bots import BOTS, LONG, ask, voice
from tests.support.services import SECONDS_A_CHARACTER, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import YES, info, longest_silence_s, recorded_apology_heard, spoken_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")

PATIENCE_S = 2.0
NOTICED_S = 0.7
"""A call is looked at twice a second, and an apology takes a moment to leave."""
FINE = "A table for two."


class Answers:
    """A bot that is asked at once (or greets), and hangs up when it was heard to say `hang_up_after`."""

    def __init__(
        self,
        *replies: Any,
        tts: ToneTTS | None = None,
        greeting: str | None = None,
        hang_up_after: str | None = None,
        extra: FrameProcessor | None = None,
    ) -> None:
        self.replies = replies
        self.tts = tts or ToneTTS()
        self.greeting = greeting
        self.hang_up_after = hang_up_after
        self.extra = extra
        self.end: CallEnd | None = None

    async def __call__(self, call: Call) -> None:
        agent = await voice(
            call, replies=list(self.replies), tts=self.tts, greeting=self.greeting, extra=self.extra,
            error_line="Sorry.", reply_timeout_secs=PATIENCE_S,
        )  # fmt: skip
        if self.greeting is None:
            ask(agent)

        async def content(turn: Any) -> None:
            if self.hang_up_after is not None and self.hang_up_after in turn.text:
                await agent.hangup()

        agent.on("bot_turn", content)
        self.end = await agent.start()

    @property
    def said(self) -> list[str]:
        return self.tts.said


def waits(bot: Callable[..., Any], **options: Any) -> SimulatedCall:
    """A caller who is in no hurry listens to `bot`."""
    return simulate(bot, Caller().pause(30), info=info(), **options)


def stages(call: SimulatedCall) -> list[str]:
    return [error.data["stage"] for error in call.of("error")]


# ------------------------------------------------------------------ the LLM

LLM_FAULTS: list[Fault] = [
    Refused(429),
    TimesOut(after_s=1.0),
    Disconnects(after=0.5),
    Garbage(),
    Stalls(),
    Stalls(after=0.5),
]


def is_mended(fault: Fault) -> bool:
    """Return whether a session that is lost is opened again, and nobody is apologised to."""
    return isinstance(fault, Disconnects | Garbage)


def named(fault: Fault) -> str:
    return type(fault).__name__ + ("" if fault.share in (0.0, 1.0) else " midway")


@pytest.mark.parametrize("fault", LLM_FAULTS, ids=named)
def test_an_llm_that_fails_once_is_apologised_for_and_asked_again(fault: Fault, either_bot: str) -> None:
    bot = Answers(hang_up_after=FINE)
    call = waits(bot, providers=Providers(llm=Replies(FINE, faults={1: fault})))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert stages(call) == ["llm"]
    if either_bot == THREE:
        assert bot.said[-2:] == ["Sorry.", FINE]
    else:
        assert texts(call, "bot")[-1].endswith(FINE)
        assert recorded_apology_heard(call) is not is_mended(fault)
    assert longest_silence_s(call) < PATIENCE_S + NOTICED_S


@pytest.mark.parametrize("fault", [Disconnects(after=0.5), Garbage(after=0.5), Stalls(after=0.5)], ids=named)
@pytest.mark.three_services("sessions of models that speak are lost in test_every_provider.py")
def test_what_was_said_of_an_answer_that_broke_off_is_marked_as_a_part(fault: Fault) -> None:
    whole = "There is a table by the window for you. And there is another one out on the terrace. Which one?"
    call = waits(
        Answers(hang_up_after="Which"),
        providers=Providers(llm=Replies(whole, faults={1: fault}, words_per_s=6.0)),
    )
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert [turn.data["interrupted"] for turn in call.of("bot_turn")] == [True, False], call.timeline()
    assert whole.startswith(texts(call, "bot")[0])


@pytest.mark.parametrize("fault", LLM_FAULTS, ids=named)
def test_an_llm_that_fails_always_ends_the_call_with_an_apology_and_the_reason(
    fault: Fault, either_bot: str
) -> None:
    bot = Answers()
    always = replace(fault, times=99)
    call = waits(bot, providers=Providers(llm=Replies(FINE, faults={1: always})))
    call.assert_ended(EndReason.ERROR)
    assert bot.end is not None
    assert bot.end.reason is EndReason.ERROR
    assert bot.end.detail == call.end_detail
    assert call.end_detail.startswith("llm: ")
    assert set(stages(call)) == {"llm"}
    if either_bot == THREE:
        assert len(stages(call)) == 2
        apologies = [text for text in bot.said if text in ("Sorry.", CLOSING_LINE)]
        assert apologies == ["Sorry.", CLOSING_LINE]
        assert spoken_s(call) > 0.9 * SECONDS_A_CHARACTER * len("".join(apologies)), "heard in full"
    else:
        assert recorded_apology_heard(call)
    assert longest_silence_s(call) < PATIENCE_S + NOTICED_S
    if isinstance(fault, Refused):
        assert "429" in call.end_detail


def test_an_llm_that_falls_silent_after_a_barge_in_is_noticed_too(either_bot: str) -> None:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = await voice(
            call, texts=["wait"], replies=[None, "Here I am."], greeting="Hello and welcome " * 8,
            tts=tts, error_line="Sorry.", reply_timeout_secs=PATIENCE_S,
        )  # fmt: skip
        await agent.start()

    call = simulate(bot, Caller().interrupt(YES, after=1.0))
    assert stages(call) == ["llm"]
    assert tts.said[-1] == "Here I am."
    assert tts.said[-2] == "Sorry." if either_bot == THREE else recorded_apology_heard(call)
    (speech,) = call.of("user_speech")
    assert call.of("error")[0].at - speech.data["end"] < PATIENCE_S + 2 * NOTICED_S


# ------------------------------------------------------------------ the TTS

TWO = "All is well. So it is."


class HangingTTS(ToneTTS):
    """Takes the text, and never makes a sound."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        await asyncio.Event().wait()
        yield None


@pytest.mark.three_services("the voice fails")
def test_a_tts_that_fails_once_is_apologised_for_by_a_recording_and_what_it_did_not_say_is_said() -> None:
    call = waits(Answers(TWO, TWO, tts=ToneTTS(fail_first=1), hang_up_after="So it is."))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert stages(call) == ["tts"]
    assert recorded_apology_heard(call)
    assert "So it is." in texts(call, "bot")[-1]


@pytest.mark.three_services("the voice fails")
def test_a_greeting_that_the_tts_failed_to_say_is_said_once_more() -> None:
    bot = Answers(tts=ToneTTS(fail_first=1), greeting=TWO, hang_up_after="All is well")
    call = waits(bot)
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert stages(call) == ["tts"]
    assert recorded_apology_heard(call)
    assert bot.said == [TWO, TWO], "what failed is what is tried again"


class SilentTTS(ToneTTS):
    """Takes the text, and says that it is done, without a sample."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        self.said.append(text)
        yield None


@pytest.mark.three_services("the voice fails")
def test_a_tts_that_makes_no_audio_of_a_complete_answer_is_noticed() -> None:
    call = waits(Answers(TWO, TWO, TWO, tts=SilentTTS()))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("tts: ")
    assert set(stages(call)) == {"tts"}
    assert recorded_apology_heard(call)


@pytest.mark.parametrize("tts", [ToneTTS, HangingTTS])
@pytest.mark.three_services("the voice fails")
def test_a_tts_that_fails_always_ends_the_call_with_a_recorded_apology(tts: type[ToneTTS]) -> None:
    call = waits(Answers(TWO, TWO, tts=tts() if tts is HangingTTS else tts(fail_first=99)))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("tts: ")
    assert set(stages(call)) == {"tts"}
    assert recorded_apology_heard(call)
    assert longest_silence_s(call) < PATIENCE_S + NOTICED_S


@pytest.mark.parametrize("fault", [Disconnects(after=0.3), TimesOut(after_s=1.0)], ids=named)
@pytest.mark.three_services("the voice fails")
def test_a_voice_that_breaks_off_is_heard_in_the_end(fault: Fault) -> None:
    bot = Answers(FINE, FINE, hang_up_after=FINE)
    call = waits(bot, providers=Providers(tts=Voice(faults={0: fault})))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert set(stages(call)) == {"tts"}
    assert texts(call, "bot")[-1].endswith(FINE)
    assert longest_silence_s(call) < PATIENCE_S + NOTICED_S


# ------------------------------------------------------------------ the STT


class DeafSTT(ScriptedSTT):
    """Loses its connection when the caller first speaks: two errors for one fault."""

    def __init__(self) -> None:
        super().__init__(["anybody there"])
        self._lost = False

    async def process_frame(self, frame: Any, direction: Any) -> None:
        if type(frame).__name__ == "VADUserStartedSpeakingFrame" and not self._lost:
            self._lost = True
            await self.push_error("connection lost")
            await self.push_error("cannot reconnect")
        await super().process_frame(frame, direction)


@pytest.mark.three_services("the model hears the caller itself")
def test_an_stt_that_fails_is_apologised_for_and_the_call_goes_on() -> None:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", error_line="Sorry.", call=call)
        await agent.Action(stt=DeafSTT(), llm=ScriptedLLM(["I am here."]), tts=tts)
        await agent.start()

    call = simulate(bot, Caller().say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert stages(call) == ["stt"]
    assert tts.said == ["Hello.", "Sorry.", "I am here."]


# ------------------------------------------------------------------ stages and callbacks


def one(name: str) -> Callable[[Call], Any]:
    async def bot(call: Call) -> None:
        await BOTS[name](call, {})

    return bot


@pytest.mark.parametrize(
    ("name", "reason", "culprit"),
    [
        ("swallows_end", EndReason.AGENT_HANGUP, "extra"),
        ("cleanup_hangs", EndReason.AGENT_HANGUP, "extra"),
        ("swallows_cancel", EndReason.IDLE_TIMEOUT, "extra"),
        ("tool_hangs", EndReason.IDLE_TIMEOUT, "the tool 'look_up'"),
    ],
)
def test_what_holds_up_the_end_of_a_call_is_named_and_the_call_ends_all_the_same(
    name: str, reason: EndReason, culprit: str
) -> None:
    with logged() as lines, pytest.raises(CallStuck, match=culprit) as stuck:
        waits(one(name))
    call = stuck.value.call
    assert call is not None
    call.assert_ended(reason)
    assert call.duration_s < 15
    ends_with(reason, lines)


def test_a_provider_that_fails_in_a_loop_floods_nobody_and_the_call_ends() -> None:
    with logged() as lines:
        call = waits(one("errors_in_a_loop"))
    call.assert_ended(EndReason.ERROR)
    assert call.duration_s < 15
    assert len(call.of("error")) <= 2
    ends_with(EndReason.ERROR, lines)


@pytest.mark.parametrize(
    ("name", "says"),
    [("raises", "no such customer"), ("raises_later", "no such order"), ("returns", "without starting")],
)
def test_a_callback_that_fails_is_the_reason_of_the_end(name: str, says: str) -> None:
    with logged() as lines:
        call = waits(one(name))
    call.assert_ended(EndReason.ERROR)
    assert says in call.end_detail
    ends_with(EndReason.ERROR, lines)


def test_a_caller_who_hangs_up_in_mid_sentence_ends_the_call() -> None:
    async def hangs_up(line: Any) -> None:
        await line.speech(after=1.0)
        line.hangup()

    with logged() as lines:
        call = simulate(one("talks"), hangs_up, info=info())
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert 1.0 < call.duration_s < 1.5
    assert spoken_s(call) < SECONDS_A_CHARACTER * len(LONG) / 2
    ends_with(EndReason.CALLER_HANGUP, lines)


def ends_with(reason: EndReason, lines: list[tuple[str | None, str]]) -> None:
    """The log has the reason, with the call's id."""
    assert any(mark == info().call_id and f"call ended: {reason.value}" in line for mark, line in lines)
