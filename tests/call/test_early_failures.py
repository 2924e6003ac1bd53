"""A provider fails before the call is answered, or its first connection does: in every chain. In virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, Refused, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.realtime_calls import GREETING, Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, recorded_apology_heard, spoken_s, texts

ALWAYS = {number: Refused(503) for number in range(1, 40)}
TWO = ["a table please", "yes"]
GREETING_S = 2.1
"""What the greeting takes at most; a goodbye takes as long again."""


class UnreachableSTT(ScriptedSTT):
    """Has tried to connect, and given up, when the pipeline begins; or tells of one attempt that has failed."""

    def __init__(self, *, for_good: bool) -> None:
        super().__init__(TWO)
        self.for_good = for_good

    async def start(self, frame: Any) -> None:
        await super().start(frame)
        await self.push_error("connection error: no such host")
        if self.for_good:
            await self.set_usable(False)
            await self.push_error("connection failed to stay up 3 times in a row")


def cascade(**services: Any) -> Any:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=GREETING, call=call)
        chain = {"stt": ScriptedSTT(TWO), "llm": ScriptedLLM(["For how many?", "Goodbye."]), "tts": ToneTTS()}
        await agent.Action(**{**chain, **services})
        await agent.start()

    return bot


def test_an_stt_that_is_given_up_before_the_answer_ends_the_call_with_an_apology() -> None:
    with logged() as lines:
        call = simulate(cascade(stt=UnreachableSTT(for_good=True)), Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("stt: connection ")
    assert call.events[-1].at < 15
    assert spoken_s(call) > GREETING_S
    assert len(call.of("error")) == 2
    assert not [line for _, line in lines if "uncaught" in line]


def test_an_attempt_that_fails_before_the_answer_costs_nothing_and_asks_the_caller_nothing() -> None:
    call = simulate(cascade(stt=UnreachableSTT(for_good=False)), Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "For how many?", "Goodbye."]
    assert len(call.of("error")) == 1


class NoVoice(ToneTTS):
    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        await super().setup(setup)
        raise ConnectionError("no such host")


class EmptyAccount(ToneTTS):
    """Says its first text, and nothing more."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        if self.said:
            await self.set_usable(False)
            await self.push_error("the account is empty")
            return
        async for frame in super().run_tts(text, context_id):
            yield frame


def test_a_voice_that_cannot_take_the_place_of_another_is_an_error_of_the_call() -> None:
    voices = [EmptyAccount(), NoVoice(), ToneTTS()]
    call = simulate(cascade(tts=voices), Caller().say(PEOPLE).say(YES))
    call.assert_ended(EndReason.CALLER_HANGUP)
    call.assert_said("Goodbye.")
    told = [event.data["message"] for event in call.of("error")]
    assert told[-1].endswith("did not start: no such host"), call.timeline()


def test_a_call_whose_last_voice_cannot_take_the_place_of_another_ends_at_once() -> None:
    call = simulate(cascade(tts=[EmptyAccount(), NoVoice()]), Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("tts: ")
    assert recorded_apology_heard(call)
    [asked] = call.of("user_turn")
    assert call.of("error")[-1].at - asked.at < 1.0, call.timeline()


def test_what_a_voice_with_word_times_could_not_say_was_not_said() -> None:
    voice = CartesiaTTSService(
        api_key="none", url="ws://nowhere.test", settings=CartesiaTTSService.Settings(voice="none")
    )
    call = simulate(cascade(tts=voice), Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("tts: ")
    assert not texts(call, "bot")
    assert recorded_apology_heard(call)


@pytest.mark.parametrize("voice", [None, ToneTTS], ids=["speaks itself", "with a voice"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_first_session_that_is_refused_is_opened_a_little_later(times: int, voice: Any) -> None:
    case = Case("For how many?", "Goodbye.", texts=TWO, faults={n: Refused(503) for n in range(1, times + 1)})
    call = case.call(Caller().say(PEOPLE).say(YES), action={} if voice is None else {"tts": voice()})
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "For how many?", "Goodbye."]
    assert call.of("error")[-1].data["message"] == "the session was not opened, and was opened later"


@pytest.mark.parametrize("voice", [None, ToneTTS], ids=["speaks itself", "with a voice"])
@pytest.mark.parametrize("status", [503, 401])
def test_a_first_session_that_cannot_be_opened_ends_the_call_with_an_apology(status: int, voice: Any) -> None:
    refused = {number: Refused(status) for number in ALWAYS}
    case = Case("For how many?", texts=TWO, faults=refused)
    with logged() as lines:
        call = case.call(Caller().say(PEOPLE).pause(60), action={} if voice is None else {"tts": voice()})
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("llm: ")
    key = ": check the key that OpenAIRealtimeLLMService was given" if status == 401 else ""
    assert call.end_detail.endswith(f"HTTP {status}{key}")
    assert call.events[-1].at < 20
    assert spoken_s(call) > GREETING_S if voice is not None else recorded_apology_heard(call)
    assert not [line for _, line in lines if "Assertion" in line or "uncaught" in line]


def test_a_server_that_nobody_has_named_rightly_is_named_at_the_end() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=GREETING, call=call)
        await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none", base_url="ws://nowhere.test/v1"))
        await agent.start()

    call = simulate(bot, Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert "nobody serves nowhere.test" in call.end_detail
    assert recorded_apology_heard(call)


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pipecat's ready.wav
@pytest.mark.filterwarnings("ignore:`LLMContext:DeprecationWarning")  # by pipecat's adapter for Nova Sonic
@pytest.mark.parametrize("provider", ["gemini", "ultravox", "nova"])
@pytest.mark.parametrize("status", [503, 401])
def test_the_end_says_why_a_session_was_refused_and_a_refused_key_is_not_tried_again(
    status: int, provider: str
) -> None:
    case = PROVIDERS[provider]()(
        "For how many?", texts=TWO, faults={number: Refused(status) for number in ALWAYS}
    )
    with logged() as lines:
        call = case.call(Caller().say(PEOPLE).pause(60))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("llm: the session was not opened, and could not be opened later: ")
    assert str(status) in call.end_detail
    assert (call.of("error")[0].at < 1) == (status == 401), call.timeline()
    assert (case.server.asked == 1) == (status == 401), "a refused key is not tried again"
    assert ("check the key that" in call.end_detail) == (status == 401)
    assert recorded_apology_heard(call)
    assert not [line for _, line in lines if "unexpected exception" in line]
