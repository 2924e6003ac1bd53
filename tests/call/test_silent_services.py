"""An STT that is mute, and voices that hang, are silent, or leave out what they should say."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.providers.provider_failures import CLOSING_LINE
from piopiy_pipeline.testing import Caller, Replies, ScriptedLLM, SimulatedCall, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_provider_faults import longest_wait_s
from tests.support.bots import ask, voice
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import AT_ONCE, PEOPLE, YES, info, longest_silence_s, recorded_apology_heard, texts

pytestmark = pytest.mark.usefixtures("either_bot")

FILLER = "One moment, please."


# ------------------------------------------------------------------ an STT that is mute, voices that fail


class MuteSTT(ScriptedSTT):
    """Hears nothing, and reports no error."""

    def __init__(self) -> None:
        super().__init__([""] * 20)


def heard_by(stt: Any, caller: Caller, **options: Any) -> tuple[SimulatedCall, list[str]]:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call, **options)
        await agent.Action(stt=stt, llm=ScriptedLLM(Replies(*["Fine."] * 9)), tts=tts)
        await agent.start()

    return simulate(bot, caller, info=info()), tts.said


@pytest.mark.three_services("the model hears the caller itself")
def test_a_caller_of_whom_not_a_word_is_understood_is_asked_again_and_the_third_time_the_call_ends() -> None:
    again = "I am sorry, I did not hear that. Could you say it again, please?"
    call, said = heard_by(MuteSTT(), Caller().say(AT_ONCE).say(AT_ONCE).say(AT_ONCE).say(AT_ONCE))
    assert said == ["Hello.", again, again, CLOSING_LINE]
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("stt: not a word came")
    assert len(call.of("error")) == 3


class LateErrorSTT(MuteSTT):
    """Hears nothing, and says so some time later."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self.create_task(self._fail(), "fails")

    async def _fail(self) -> None:
        await asyncio.sleep(4)
        await self.push_error("no answer in 4 s")


@pytest.mark.three_services("the model hears the caller itself")
def test_a_caller_is_asked_again_once_for_an_stt_that_is_mute_and_then_reports_an_error() -> None:
    call, said = heard_by(LateErrorSTT(), Caller().say(PEOPLE).pause(15))
    assert said == ["Hello.", "I am sorry, I did not hear that. Could you say it again, please?"]
    assert len(call.of("error")) == 2, "both are on the record"


@pytest.mark.three_services("the model hears the caller itself")
def test_an_stt_that_never_sends_a_word_is_noticed_by_short_answers_too() -> None:
    call, said = heard_by(MuteSTT(), Caller().pause(1).say(YES).pause(18).say(YES).pause(6))
    assert said == ["Hello.", "I am sorry, I did not hear that. Could you say it again, please?"]
    assert call.of("error")[0].data["message"].startswith("not a word came of")


@pytest.mark.three_services("the model hears the caller itself")
def test_another_stt_takes_the_place_of_one_that_is_mute() -> None:
    call, said = heard_by([MuteSTT(), ScriptedSTT(["a table"] * 5)], Caller().say(AT_ONCE).say(AT_ONCE))
    assert said[-1] == "Fine."
    assert texts(call, "user")[0].startswith("a table")
    assert call.of("error")[0].data["stage"] == "stt"


@pytest.mark.three_services("the model hears the caller itself")
def test_a_cough_of_which_nothing_is_understood_is_no_failure() -> None:
    call, said = heard_by(MuteSTT(), Caller().say(YES).pause(6))
    assert said == ["Hello."]
    call.assert_no_error()


class BusySTT(ScriptedSTT):
    """Computes in this process, and takes its time for each sentence. Without `interims` it shows none of it."""

    def __init__(self, seconds: float, *, interims: bool, says_so: bool = True) -> None:
        super().__init__([])
        self._seconds = seconds
        self._interims = interims
        if says_so:
            self.final_under_way = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame) and self._interims:
            await self.push_frame(InterimTranscriptionFrame("a table", "", ""))
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self.create_task(self._hear(), "hears")

    async def _hear(self) -> None:
        if hasattr(self, "final_under_way"):
            self.final_under_way = True
        await asyncio.sleep(self._seconds)
        if hasattr(self, "final_under_way"):
            self.final_under_way = False
        if self._seconds < 60:
            await self.push_frame(TranscriptionFrame("a table for four on Friday", "", "", finalized=True))


@pytest.mark.parametrize("interims", [True, False])
@pytest.mark.three_services("the model hears the caller itself")
def test_a_final_that_is_under_way_is_waited_for_and_its_end_is_not_lost(interims: bool) -> None:
    call, said = heard_by(BusySTT(7.0, interims=interims), Caller().say(PEOPLE).pause(20))
    assert texts(call, "user") == ["a table for four on Friday"]
    assert said == ["Hello.", "Fine."]
    (error,) = call.of("error")
    assert error.data["message"] == "a final transcript came 7.0 s after the end of speech"
    assert longest_wait_s(call) < 2.0


class GuessingSTT(BusySTT):
    """Says the same interim again and again, and the final one 7 s after the end of speech."""

    async def _hear(self) -> None:
        for _ in range(7):
            await asyncio.sleep(1)
            await self.push_frame(InterimTranscriptionFrame("a table", "", ""))
        await self.push_frame(TranscriptionFrame("a table for four on Friday", "", "", finalized=True))


@pytest.mark.three_services("no answer is begun ahead")
def test_an_answer_begun_ahead_keeps_no_sounds_back_that_would_be_heard_later() -> None:
    stt = GuessingSTT(7.0, interims=True, says_so=False)
    call, _ = heard_by(stt, Caller().say(PEOPLE).pause(20))
    assert texts(call, "bot") == ["Hello.", "Fine."]
    (turn,) = call.of("user_turn")
    fine = next(event for event in call.of("bot_turn") if event.data["text"] == "Fine.")
    assert fine.at < turn.at + 1.5, call.timeline()
    assert call.duration_s < 35


@pytest.mark.three_services("the model hears the caller itself")
def test_an_stt_that_does_not_say_that_it_is_at_it_is_waited_for_two_seconds() -> None:
    stt = BusySTT(7.0, interims=True, says_so=False)
    call, _ = heard_by(stt, Caller().say(PEOPLE).pause(20))
    assert texts(call, "user") == ["a table"]
    assert "no final transcript came within 2 s" in call.of("error")[0].data["message"]


@pytest.mark.three_services("the model hears the caller itself")
def test_an_stt_that_is_at_it_for_ever_is_waited_for_in_vain_but_not_for_ever() -> None:
    call, _ = heard_by(BusySTT(99, interims=True), Caller().say(PEOPLE).pause(30))
    assert texts(call, "user") == ["a table"]
    assert "no final transcript came within 15 s" in call.of("error")[0].data["message"]
    assert longest_wait_s(call) < 2.0


class HungTTS(ToneTTS):
    """Takes the text, and never makes a sound."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        await asyncio.Event().wait()
        yield None


class FillerHangs(ToneTTS):
    """Hangs in the middle of the sentence that bridges a silence, once."""

    async def run_tts(self, text: str, context_id: str) -> Any:
        hangs = text == FILLER and text not in self.said
        async for frame in super().run_tts(text, context_id):
            yield frame
            if hangs:
                await asyncio.Event().wait()


@pytest.mark.three_services("a model that is late says no filler")
def test_a_voice_that_hangs_in_the_filler_does_not_hold_up_the_result_of_a_tool() -> None:
    tts = FillerHangs()

    async def look_up(params: FunctionCallParams) -> str:
        """Look something up."""
        await asyncio.sleep(3)
        return "found"

    async def bot(call: Call) -> None:
        agent = await voice(
            call,
            tts=tts,
            replies=[("look_up", {}), "I found it."],
            tools=[look_up],
            reply_timeout_secs=5,
        )
        ask(agent)
        await agent.start()

    call = simulate(bot, Caller().pause(25), info=info())
    assert texts(call, "bot") == ["I found it."]
    assert [error.data["message"] for error in call.of("error")] == ["no progress for 5 s"]
    assert longest_silence_s(call) < 2.0


class SilentTTS(ToneTTS):
    """Sends as many samples as the text is long, in which nothing is heard."""

    def sound(self, text: str, rate: int) -> NDArray[np.int16]:
        return np.zeros_like(super().sound(text, rate))


def test_a_voice_that_is_always_silent_ends_the_call_and_is_named() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello and welcome.", call=call)
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(Replies("Fine.")), tts=SilentTTS())
        await agent.start()

    call = simulate(bot, Caller().pause(30), info=info())
    call.assert_ended(EndReason.ERROR)
    assert "nothing is heard in" in call.end_detail
    assert recorded_apology_heard(call)
    assert longest_silence_s(call) < 2.0


class LeavesOutTTS(ToneTTS):
    """Makes nothing of one sentence, or as much silence as it is long."""

    def __init__(self, *, silence: bool) -> None:
        super().__init__()
        self._silence = silence

    async def run_tts(self, text: str, context_id: str) -> Any:
        async for frame in super().run_tts(text, context_id):
            if text != "The middle is what is missing here." or not isinstance(frame, TTSAudioRawFrame):
                yield frame
            elif self._silence:
                frame.audio = bytes(len(frame.audio))
                yield frame


def answered_by(tts: Any) -> SimulatedCall:
    answer = "It begins. The middle is what is missing here. It ends."

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM(Replies(otherwise=answer)), tts=tts)
        ask(agent)
        await agent.start()

    return simulate(bot, Caller().pause(25), info=info())


@pytest.mark.parametrize("silence", [True, False])
@pytest.mark.three_services("there is one service")
def test_a_sentence_that_a_voice_leaves_out_is_said_by_the_next_one(silence: bool) -> None:
    other = ToneTTS()
    call = answered_by([LeavesOutTTS(silence=silence), other])
    assert "The middle is what is missing here." in other.said
    assert "nothing is heard of the sentence 'The middle" in call.of("error")[0].data["message"]
    assert not recorded_apology_heard(call)


@pytest.mark.three_services("a TTS says sentence by sentence")
def test_a_sentence_that_the_only_voice_leaves_out_is_on_the_record_and_the_call_goes_on() -> None:
    call = answered_by(LeavesOutTTS(silence=False))
    (error,) = call.of("error")
    assert "nothing is heard of the sentence 'The middle" in error.data["message"]
    call.assert_ended(EndReason.CALLER_HANGUP)


@pytest.mark.parametrize("broken", [HungTTS, SilentTTS, lambda: ToneTTS(fail_first=99)])
@pytest.mark.three_services("there is one service")
def test_another_voice_says_what_one_that_fails_has_not_said(broken: Any) -> None:
    tts = ToneTTS()

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello and welcome.", call=call)
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=ScriptedLLM(Replies("Fine.")), tts=[broken(), tts])
        await agent.start()

    call = simulate(bot, Caller().pause(5), info=info())
    assert tts.said == ["Hello and welcome."]
    assert texts(call, "bot") == ["Hello and welcome."]
    assert longest_silence_s(call) < 2.0
    assert not recorded_apology_heard(call)
    assert call.of("error")[0].data["stage"] == "tts"
