"""What streams without end, in one call: it is cut, put on record, and the call ends or goes on. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline import StreamLimits, VoiceAgent
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, SimulatedCall, simulate
from tests.support.bot_kinds import THREE
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.streaming_bots import EndlessLLM, EndlessTTS, Floods, heard, sound
from tests.support.virtual import info, spoken_s

pytestmark = pytest.mark.usefixtures("either_bot")

LINE = "Welcome to the museum."
SECOND = 2 * 16000


def called(
    *,
    llm: Any = None,
    tts: Any = None,
    stt: Any = None,
    insert: FrameProcessor | None = None,
    after: str = "llm",
    greeting: str | None = LINE,
    until: float = 60.0,
    limits: StreamLimits | None = None,
) -> SimulatedCall:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", call=call, greeting=greeting, limits=limits or StreamLimits()
        )
        pipeline = await agent.Action(
            stt=stt or ScriptedSTT([]), llm=llm or ScriptedLLM([]), tts=tts or ToneTTS()
        )
        if insert is not None:
            pipeline.insert("mine", insert, after=after)
        if greeting is None:
            call.on("answered", lambda _: call.respond())
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(until)

    return simulate(bot, caller, info=info(), limit_s=300)


def errors(call: SimulatedCall) -> list[tuple[str, str]]:
    return [(event.data["stage"], event.data["message"]) for event in call.of("error")]


@pytest.mark.three_services("test_endless_models.py has models that speak and write without end")
def test_a_voice_without_end_ends_its_call_and_is_named() -> None:
    tts = EndlessTTS()
    call = called(tts=tts)
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.startswith("tts: 4"), call.end_detail
    assert "for a text of 22 characters" in errors(call)[0][1]
    assert tts.made_s < 200, "it waited, or was cut off"


@pytest.mark.three_services("test_endless_models.py has models that speak and write without end")
def test_a_voice_that_sends_an_hour_of_sound_at_once_ends_its_call() -> None:
    call = called(tts=EndlessTTS(chunk=3600 * SECOND))
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.startswith("tts: "), call.end_detail


@pytest.mark.three_services("test_endless_models.py has models that speak and write without end")
def test_a_model_that_writes_without_end_is_cut_behind_a_sentence_and_the_call_goes_on() -> None:
    llm = EndlessLLM("Once upon a time. ")
    call = called(llm=llm, greeting=None, limits=StreamLimits(answer_chars=200))
    assert errors(call) == [("llm", "an answer of more than 200 characters: cut behind a sentence")]
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    assert llm.answers == 1
    assert llm.pushed < 20_000
    said = str(call.of("bot_turn")[0].data["text"])
    assert 200 <= len(said) < 230, said
    assert said.endswith("time.")


@pytest.mark.parametrize("piece", ["no end of a sentence ", "x" * 50_000_000])
@pytest.mark.three_services("test_endless_models.py has models that speak and write without end")
def test_a_model_that_writes_no_sentences_is_cut_as_well(piece: str) -> None:
    llm = EndlessLLM(piece)
    call = called(llm=llm, greeting=None, limits=StreamLimits(answer_chars=200), until=20)
    assert errors(call)[0][0] == "llm", call.timeline()
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    assert llm.pushed <= 10 * max(len(piece), 1000)


@pytest.mark.three_services("test_endless_models.py has models that speak and write without end")
def test_a_model_that_goes_on_writing_when_it_was_cut_off_ends_its_call() -> None:
    llm = EndlessLLM("Once upon a time. ", stubborn=True)
    call = called(llm=llm, greeting=None, limits=StreamLimits(answer_chars=200))
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.startswith("llm: ")
    assert "goes on writing" in call.end_detail


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.three_services("a model that speaks writes no thoughts")
def test_thoughts_without_end_are_cut_off(thinks: bool) -> None:
    llm = EndlessLLM("hm, " * 20 if thinks else "<think>" + "hm, " * 20, thinks=thinks)
    call = called(llm=llm, greeting=None, until=20)
    assert ("llm", "it wrote more than 100000 characters in one answer: cut off") in errors(call), (
        call.timeline()
    )
    assert llm.pushed < 400_000


@pytest.mark.parametrize("make", [sound, heard])
@pytest.mark.parametrize(("waits", "tasks"), [(False, False), (True, False), (True, True)])
def test_a_stage_that_pushes_frames_in_a_loop_ends_its_call_and_is_named(
    make: Callable[[], Frame], waits: bool, tasks: bool
) -> None:
    stage = Floods(make, waits=waits, tasks=tasks)
    call = called(insert=stage, after="user_context")  # the last stage takes no more sound than is heard
    assert errors(call)[0][0] == "mine", call.timeline()
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.startswith("mine: it pushes more than 500 frames a second"), call.end_detail
    assert tasks or stage.pushed < 30_000


def test_a_stage_whose_sound_goes_straight_to_the_output_is_slowed_to_what_is_heard(either_bot: str) -> None:
    stage = Floods(sound, waits=True)
    call = called(insert=stage, after="tts" if either_bot == THREE else "llm", until=30)
    assert call.of("error") == [], call.timeline()
    assert stage.pushed * 0.02 < 30 + 40
    assert call.end_reason is EndReason.CALLER_HANGUP


class PushesSound(FrameProcessor):
    """Pushes sound past the voice's audio contexts, ten times as fast as it is heard, from its first frame on."""

    def __init__(self, frame_s: float = 1.0, pause_s: float = 0.1) -> None:
        super().__init__()
        self._frame_s = frame_s
        self._pause_s = pause_s
        self._pushing: asyncio.Task[None] | None = None
        self.pushed_s = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._pushing = self.create_task(self._push())

    async def _push(self) -> None:
        while True:
            self.pushed_s += self._frame_s
            await self.push_frame(OutputAudioRawFrame(bytes(int(self._frame_s * SECOND)), 16000, 1))
            await asyncio.sleep(self._pause_s)


def test_sound_that_is_pushed_faster_than_it_is_heard_waits_and_is_put_on_record() -> None:
    stage = PushesSound()
    call = called(insert=stage, greeting=None, limits=StreamLimits(answer_s=20))
    assert [one for one in errors(call) if "more than 20 s of sound that nobody has heard yet" in one[1]]
    assert stage.pushed_s <= 60 + 20 + 3
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()


def test_a_frame_of_a_gigabyte_is_cut_to_what_an_answer_may_have() -> None:
    stage = PushesSound(frame_s=2**30 / SECOND, pause_s=1e6)
    call = called(insert=stage, greeting=None, until=20)
    assert "1073741824 bytes of sound in one frame: cut after 600 s" in errors(call)[0][1]
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()


@pytest.mark.three_services("its stages are STT and TTS")
def test_a_recogniser_that_floods_interim_transcripts_ends_its_call() -> None:
    def interim() -> Frame:
        return InterimTranscriptionFrame("a table", "", "")

    call = called(insert=Floods(interim, waits=True), after="stt")
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.startswith("mine: "), call.end_detail


def test_a_long_answer_of_a_quick_voice_is_heard_to_its_end() -> None:
    text = "This is a sentence of the long story that the bot tells today. " * 60
    call = called(greeting=text, until=290)
    assert call.of("error") == [], call.timeline()
    assert spoken_s(call) == pytest.approx(len(text) * 0.06, rel=0.05)


def test_whoever_says_too_much_is_told_that_its_end_was_not_heard() -> None:
    heard: dict[str, bool] = {}
    text = "This is a sentence of the long story that the bot tells today. " * 20

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, limits=StreamLimits(answer_s=30))
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())

        async def tell(_: object) -> None:
            long, short = agent.say(text), agent.say("That is all.")
            heard["long"], heard["short"] = await long, await short

        call.on("answered", tell)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.at(50)

    call = simulate(bot, caller, info=info(), limit_s=300)
    assert heard == {"long": False, "short": True}, call.timeline()


def test_an_answer_that_is_too_long_for_the_ear_is_cut_and_put_on_record(either_bot: str) -> None:
    text = "This is a sentence of the long story that the bot tells today. " * 20
    call = called(greeting=text, until=33, limits=StreamLimits(answer_s=30))
    voice = "tts" if either_bot == THREE else "llm"
    assert [stage for stage, _ in errors(call)] == [voice], call.timeline()
    assert "more than 30 s" in errors(call)[0][1]
    assert spoken_s(call) == pytest.approx(30, abs=1.5)
    assert call.end_reason is EndReason.CALLER_HANGUP


@pytest.mark.three_services("nobody calls")
def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"StreamLimits\(answer_s=0\)"):
        StreamLimits(answer_s=0)
    with pytest.raises(TypeError, match="answer_chars"):
        StreamLimits(answer_chars="many")  # type: ignore[arg-type]
