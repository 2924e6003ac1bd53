"""Scripted providers in the place of a bot's own, in whole calls: real VAD, real session, real chain."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.services.providers import ProviderError, from_environment
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing.line.callers import CallerLine
from piopiy_pipeline.testing.providers import Providers
from piopiy_pipeline.testing.scripted.faults import (
    Disconnects,
    Fault,
    Garbage,
    Refused,
    SlowStart,
    Stalls,
    TimesOut,
)
from piopiy_pipeline.testing.scripted.latency_profiles import Percentiles
from piopiy_pipeline.testing.scripted.reply_script import Tool
from piopiy_pipeline.testing.scripted.scripted_llm import Replies, ScriptedLLM
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT, Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS, Voice
from piopiy_pipeline.testing.simulation import simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.scripted_bots import Restaurant
from tests.support.scripted_calls import Heard, Says, call
from tests.support.services import ScriptedLLM as PlainLLM
from tests.support.services import ScriptedSTT as PlainSTT
from tests.support.services import ToneTTS

FOR_FOUR = Says(2.0, "booking/01-people.wav", "I would like to book a table for four people.")
ON_FRIDAY = Says(9.0, "booking/02-when.wav", "On Friday at seven in the evening.")


def scripted(*replies: Any, **options: Any) -> Providers:
    return Providers(stt=Transcripts(), llm=Replies(*replies, otherwise="Pardon?"), tts=Voice(), **options)


def latency(heard: Heard, says: Says, seconds: float) -> float:
    """From the end of the caller's recording to the bot's first sample."""
    return heard.speech_after(says.at + seconds) - says.at - seconds


# ---------------------------------------------------------------------- in the place of the bot's own


@pytest.mark.parametrize(
    "names", [{}, {"PIOPIY_STT": "deepgram", "PIOPIY_LLM": "anthropic", "PIOPIY_TTS": "?"}]
)
def test_what_is_scripted_needs_no_key_model_or_playbook(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("OPENAI_API_KEY", "LLM_BASE_URL", "DEEPGRAM_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        stt, llm, tts = from_environment()
        await agent.Action(stt=stt, llm=llm, tts=tts)
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.say(AUDIO / FOR_FOUR.wav, text=FOR_FOUR.text)
        await line.my_turn()

    simulate(bot, caller, providers=scripted("For which day?")).assert_said("For which day?")
    if names:
        with pytest.raises(ProviderError):  # what is not scripted, and outside of a simulated call
            from_environment()
        call_ = simulate(bot, caller, providers=Providers(stt=Transcripts(), tts=Voice()))
        call_.assert_ended(EndReason.ERROR)
        assert "ANTHROPIC_API_KEY is not set" in call_.end_detail


def test_the_bot_hears_what_the_caller_says_and_answers_by_the_script() -> None:
    heard = call(Restaurant(), scripted("For which day?", "At seven."), [FOR_FOUR, ON_FRIDAY])
    assert heard.texts("user") == [FOR_FOUR.text, ON_FRIDAY.text]
    assert heard.texts("bot") == ["Good day.", "For which day?", "At seven."]
    assert heard.errors == []


def test_the_bots_own_tools_run_and_what_follows_them_is_said() -> None:
    bot = Restaurant()
    heard = call(bot, scripted((Tool("book", people=4, day="Friday"), "Booked.")), [FOR_FOUR])
    assert bot.booked == [{"people": 4, "day": "Friday"}]
    assert heard.texts("bot")[-1] == "Booked."


def test_a_tool_that_is_registered_with_the_bots_llm_while_the_call_runs_is_used_too() -> None:
    used: list[str] = []

    async def weather(params: FunctionCallParams) -> None:
        used.append("weather")
        await params.result_callback("sunny")

    class Late(Restaurant):
        async def prepare(self, agent: VoiceAgent) -> None:
            agent.on("answered", lambda _: self.llm.register_function("weather", weather))

    call(Late(), scripted((Tool("weather"), "Sunny.")), [FOR_FOUR])
    assert used == ["weather"]


def test_event_handlers_of_the_bots_services_hear_of_the_scripted_ones() -> None:
    requests: list[str] = []

    class Listening(Restaurant):
        async def prepare(self, agent: VoiceAgent) -> None:
            async def asked(tts: Any, context_id: str, text: str) -> None:
                requests.append(text)

            self.tts.add_event_handler("on_tts_request", asked)

    call(Listening(), scripted("For which day?"), [FOR_FOUR])
    assert requests == ["Good day.", "For which day?"]


def test_frames_that_the_bot_queues_into_its_own_service_reach_the_scripted_one() -> None:
    class Speaking(Restaurant):
        async def prepare(self, agent: VoiceAgent) -> None:
            async def speak(_: object) -> None:
                await self.tts.queue_frame(TTSSpeakFrame("One moment."))

            agent.on("answered", speak)

    heard = call(Speaking(greeting=None), scripted())
    assert heard.texts("bot") == ["One moment."]


def test_what_is_not_scripted_stays_the_bots_own() -> None:
    heard = call(Restaurant(), Providers(llm=["Certainly."]), [FOR_FOUR])
    assert heard.texts("user") == ["this is the bot's own STT"]
    assert heard.texts("bot")[-1] == "Certainly."


def test_services_in_a_list_are_replaced_in_it_and_the_bot_can_switch_between_them() -> None:
    class Switching(Restaurant):
        async def prepare(self, agent: VoiceAgent) -> None:
            second = self.stt[1]
            agent.on("answered", lambda _: agent.switch_service(second))

    bot = Switching()
    bot.stt = [PlainSTT(["the first"]), PlainSTT(["the second"])]
    heard = call(bot, scripted("Certainly."), [FOR_FOUR])
    assert heard.texts("user") == [FOR_FOUR.text]


def test_a_service_that_is_refused_for_good_is_replaced_by_the_next_in_the_list() -> None:
    bot = Restaurant()
    bot.tts = [ToneTTS(), ToneTTS()]
    providers = Providers(
        stt=Transcripts(), llm=["For which day?", "At seven."], tts=Voice(faults={1: Refused(401)})
    )
    heard = call(bot, providers, [FOR_FOUR, ON_FRIDAY])
    assert "tts" in [error.stage for error in heard.errors]
    assert heard.texts("bot")[-1] == "At seven."


def test_a_chain_without_such_a_stage_is_an_error_that_names_it() -> None:
    async def deaf(call: Any) -> None:
        agent = VoiceAgent(instructions="", call=call)
        await agent.Action(stt=PlainSTT([]), llm=PlainLLM([]), tts=ToneTTS())
        agent.pipeline.remove("stt")
        await agent.start()

    heard = call(deaf, Providers(stt=Transcripts()))
    assert heard.end is not None
    assert heard.end.reason is EndReason.ERROR
    assert "there is no STTService in transport_in -> vad -> user_context" in heard.end.detail


def test_what_is_no_script_is_named() -> None:
    with pytest.raises(TypeError, match="a list of replies"):
        Providers(llm="Hello.")
    with pytest.raises(TypeError, match="stt is a Transcripts"):
        Providers(stt=0.3)  # type: ignore[arg-type]  # the mistake that is tested


# ---------------------------------------------------------------------- time


def test_latencies_add_up_at_the_callers_end() -> None:
    quick = call(Restaurant(eager=False), scripted("Yes."), [FOR_FOUR])
    slow = call(
        Restaurant(eager=False),
        Providers(stt=Transcripts(), llm=Replies("Yes.", latency=0.4), tts=Voice(latency=0.25)),
        [FOR_FOUR],
    )
    assert latency(slow, FOR_FOUR, 2.5) - latency(quick, FOR_FOUR, 2.5) == pytest.approx(0.65, abs=0.021)


def test_a_late_transcript_holds_up_the_turn() -> None:
    quick = call(Restaurant(eager=False), scripted("Yes."), [FOR_FOUR])
    slow = call(
        Restaurant(eager=False),
        Providers(stt=Transcripts(latency=1.8), llm=["Yes."], tts=Voice()),
        [FOR_FOUR],
    )
    assert latency(slow, FOR_FOUR, 2.5) > latency(quick, FOR_FOUR, 2.5) + 0.8


def test_a_seed_gives_the_same_call_and_another_seed_another() -> None:
    def speech(seed: int) -> tuple[float, ...]:
        providers = Providers(
            stt=Transcripts(),
            llm=Replies("Yes.", "No.", latency=Percentiles({0: 0.1, 100: 1.0})),
            tts=Voice(),
        )
        heard = call(Restaurant(eager=False), providers, [FOR_FOUR, ON_FRIDAY], seed=seed)
        return tuple(at for at, _ in heard.turns)

    assert speech(1) == speech(1)
    assert speech(1) != speech(2)


# ---------------------------------------------------------------------- faults


LLM_FAULTS = [Refused(429), TimesOut(after_s=2), Disconnects(), Garbage(), Stalls(after=0.4)]


@pytest.mark.parametrize("fault", LLM_FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_model_that_fails_once_is_asked_again(fault: Fault) -> None:
    heard = call(
        Restaurant(eager=False, error_line="Sorry.", reply_timeout_secs=4),
        Providers(
            stt=Transcripts(), llm=Replies("We have a table by the window.", faults={1: fault}), tts=Voice()
        ),
        [FOR_FOUR],
        hangup_s=14,
    )
    assert [error.stage for error in heard.errors] == ["llm"]
    assert "We have a table by the window." in heard.texts("bot")[-1]
    assert heard.end is not None
    assert heard.end.reason is EndReason.CALLER_HANGUP


def test_a_model_that_fails_twice_ends_the_call_with_its_reason() -> None:
    heard = call(
        Restaurant(eager=False),
        Providers(stt=Transcripts(), llm=Replies("Yes.", faults={1: Refused(429, times=2)}), tts=Voice()),
        [FOR_FOUR],
        hangup_s=30,
    )
    assert heard.end is not None
    assert heard.end.reason is EndReason.ERROR
    assert "HTTP status 429" in heard.end.detail


def test_a_question_too_many_ends_the_call_and_says_what_was_asked() -> None:
    heard = call(
        Restaurant(eager=False),
        Providers(stt=Transcripts(), llm=["Yes."], tts=Voice()),
        [FOR_FOUR, ON_FRIDAY],
        hangup_s=30,
    )
    assert heard.end is not None
    assert heard.end.reason is EndReason.ERROR
    assert ON_FRIDAY.text in heard.end.detail


TTS_FAULTS = [Refused(429), TimesOut(after_s=2), Disconnects(after=0.3), Stalls()]


@pytest.mark.parametrize("fault", TTS_FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_voice_that_fails_once_is_heard_after_all(fault: Fault) -> None:
    heard = call(
        Restaurant(eager=False, reply_timeout_secs=4),
        Providers(stt=Transcripts(), llm=["We have a table by the window."], tts=Voice(faults={1: fault})),
        [FOR_FOUR],
        hangup_s=16,
    )
    assert "tts" in [error.stage for error in heard.errors]
    assert heard.texts("bot")[-1].endswith("We have a table by the window.")


def test_noise_instead_of_speech_is_as_long_as_the_speech() -> None:
    def duration(voice: Voice) -> float:
        heard = call(Restaurant(greeting="Good day to you."), Providers(tts=voice))
        return float((abs(heard.said.astype(int)) > 50).nonzero()[0][-1]) / 16000

    assert duration(Voice(faults={0: Garbage()})) == pytest.approx(duration(Voice()), abs=0.1)


STT_FAULTS = [Refused(429), TimesOut(after_s=2), Disconnects(after=0)]


@pytest.mark.parametrize("fault", STT_FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_utterance_that_the_stt_loses_is_apologised_for_and_the_next_is_heard(fault: Fault) -> None:
    heard = call(
        Restaurant(eager=False, error_line="Sorry, once more please."),
        Providers(stt=Transcripts(faults={1: fault}), llm=["For which day?"], tts=Voice()),
        [FOR_FOUR, ON_FRIDAY],
    )
    assert [error.stage for error in heard.errors] == ["stt"]
    assert heard.texts("user") == [ON_FRIDAY.text]


def test_an_stt_that_understands_nonsense_reports_no_error() -> None:
    heard = call(
        Restaurant(eager=False),
        Providers(stt=Transcripts(faults={1: Garbage(after=0.5)}), llm=["Pardon?"], tts=Voice()),
        [FOR_FOUR],
    )
    assert heard.errors == []
    assert heard.texts("user")[0].startswith("I would like")
    assert "four people" not in heard.texts("user")[0]


def test_a_slow_start_delays_the_answer_and_is_no_error() -> None:
    quick = call(Restaurant(eager=False), scripted("Yes."), [FOR_FOUR])
    providers = Providers(
        stt=Transcripts(), llm=Replies("Yes.", faults={1: SlowStart(by_s=1.5)}), tts=Voice()
    )
    slow = call(Restaurant(eager=False), providers, [FOR_FOUR])
    assert slow.errors == []
    assert latency(slow, FOR_FOUR, 2.5) - latency(quick, FOR_FOUR, 2.5) == pytest.approx(1.5, abs=0.021)


# ---------------------------------------------------------------------- services of their own


def test_the_scripted_services_stand_alone_too() -> None:
    """In a chain of one's own, without a bot that they stand for."""

    async def own(call: Any) -> None:
        agent = VoiceAgent(instructions="", call=call)
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: "hello"),
            llm=ScriptedLLM(Replies("Hi.")),
            tts=ScriptedTTS(),
        )
        await agent.start()

    heard = call(own, Providers(), [FOR_FOUR])
    assert heard.texts("bot") == ["Hi."]
