"""Values that are collected while a model hears the caller itself: it is kept from answering, however turns end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from pipecat.frames.frames import LLMContextFrame, LLMServiceMetadataFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from piopiy_pipeline.collect import Collected, NotCollected, as_tool, collect_date, collect_digits
from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    GeminiLiveServer,
    OpenAIRealtimeServer,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    SimulatedCall,
    Tool,
    Transcripts,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.collecting import VOICE, Form, say, value_of
from tests.support.realtime_calls import Case
from tests.support.services import ToneTTS
from tests.support.virtual import texts

TODAY = date(2026, 11, 29)


def ask_code(call: Call, **options: Any) -> Any:
    return collect_digits(call, prompt="What is your code?", length=4, read_back=True, **options)


class CollectingCase(Case):
    """A bot that fills in a form, with whatever came of it."""

    def collect(
        self, form: Form, caller: Any, *, agent: Mapping[str, Any] | None = None, **options: Any
    ) -> SimulatedCall:
        self.outcomes: list[Any] = []

        def watch(made: VoiceAgent) -> None:
            async def fill_in(_: object) -> None:
                try:
                    self.outcomes.append(await form(made.call))
                except (NotCollected, ValueError, RuntimeError) as error:
                    self.outcomes.append(error)

            made.on("answered", fill_in)

        return self.call(caller, agent={"greeting": None, **(agent or {})}, watch=watch, **options)


class SpokenCase(CollectingCase):
    """The same, where a TTS says what the model writes: one for each process that has the call."""

    def make_service(self, **options: Any) -> LLMService[Any]:
        self.action = {"tts": ToneTTS(words=True)}
        service = super().make_service(**options)
        self.requests: list[LLMContextFrame] = []
        watch_taken(service, lambda _service, frame: self.requests.append(frame), LLMContextFrame)
        return service


class CollectingGeminiCase(CollectingCase):
    """The same with Google's model."""

    make_server = GeminiLiveServer

    def make_service(self, **options: Any) -> LLMService[Any]:
        pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
        from tests.support.gemini_calls import gemini_service

        return gemini_service(self.server.url)


SETTINGS: dict[str, dict[str, Any]] = {
    "provider": {},
    "immediate": {"interruption": "immediate"},
    "never": {"interruption": "never"},
    "smart": {"turns": "smart"},
    "seconds": {"turns": 0.5},
}


@pytest.mark.parametrize("action", SETTINGS.values(), ids=SETTINGS)
def test_the_model_is_kept_from_answering_whoever_ends_the_turns(action: dict[str, Any]) -> None:
    heard = ["four one five six", "no, seven not six", "yes", "thank you"]
    case = CollectingCase("You are welcome.", texts=heard)
    call = case.collect(ask_code, say("1", "2", "3", "4"), action=action)
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot")[0] == "What is your code?"
    assert texts(call, "bot")[-1] == "You are welcome.", "and then the turns are the model's again"
    assert texts(call, "user") == heard
    assert not call.of("error")


def ears(*words: str) -> ScriptedSTT:
    return ScriptedSTT(Transcripts(texts=words))


HYBRIDS: dict[str, Any] = {
    "stt": lambda: {"stt": ears("four one five seven", "yes", "thank you")},
    "tts": lambda: {"tts": ToneTTS(words=True)},
    "both": lambda: {"stt": ears("four one five seven", "yes", "thank you"), "tts": ToneTTS(words=True)},
    "stt and our turns": lambda: {
        "stt": ears("four one five seven", "yes", "thank you"),
        "turns": "smart",
    },
}


@pytest.mark.parametrize("parts", HYBRIDS.values(), ids=HYBRIDS)
def test_with_a_voice_or_ears_of_ones_own(parts: Any) -> None:
    case = CollectingCase("You are welcome.", texts=["four one five seven", "yes", "thank you"])
    call = case.collect(ask_code, say("1", "2", "3"), action=parts())
    assert value_of(case.outcomes) == "4157"
    assert [turn for turn in texts(call, "bot") if "4 1 5 7" not in turn] == [
        "What is your code?",
        "You are welcome.",
    ]
    assert not call.of("error")
    answered = next(event.at for event in call.of("bot_turn") if event.data["text"] == "You are welcome.")
    assert answered > next(event.at for event in call.of("user_turn") if event.data["text"] == "thank you")


def test_a_question_in_between_is_the_models_and_the_turn_behind_it_is_not() -> None:
    case = CollectingCase(
        "From nine to five.", "Thank you.", texts=["when are you open?", "four one five seven", "yes", "bye"]
    )
    call = case.collect(ask_code, say("1", "2", "3", "4"))
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot") == [
        "What is your code?",
        "From nine to five.",
        "What is your code?",
        "I have 4 1 5 7. Is that right?",
        "Thank you.",
    ]


def test_a_question_in_between_that_an_stt_has_written_down_is_answered_once() -> None:
    words = ("when are you open?", "four one five seven", "yes")
    for turns in ({}, {"turns": "smart"}):
        case = CollectingCase("From nine to five.", texts=words)
        call = case.collect(ask_code, say("1", "2", "3").pause(3), action={"stt": ears(*words), **turns})
        assert value_of(case.outcomes) == "4157"
        assert texts(call, "bot").count("From nine to five.") == 1
        assert texts(call, "bot").count("What is your code?") == 2
        assert not call.of("error")


def test_a_date_that_the_code_does_not_read_is_read_by_the_model_beside_the_conversation() -> None:
    case = CollectingCase("2027-03-01", "Thank you.", texts=["the first Monday in March", "yes", "bye"])
    call = case.collect(
        lambda call: collect_date(call, prompt="On which day?", today=TODAY), say("1", "2", "3")
    )
    assert value_of(case.outcomes) == date(2027, 3, 1)
    assert "2027-03-01" not in " ".join(texts(call, "bot"))
    assert "2027-03-01" not in str(case.server.session.conversation())


def test_the_model_has_a_value_collected_by_a_tool_and_answers_its_result_once() -> None:
    tool = as_tool(collect_digits, when="you need a code", length=4, prompt="The code?")
    case = CollectingCase(
        Tool("collect_digits"), "Thank you.", "Bye.", texts=["hello", "four one five seven", "bye"]
    )
    call = case.call(say("1", "2", "3"), agent={"greeting": None, "tools": [tool]})
    assert texts(call, "bot") == ["The code?", "Thank you.", "Bye."]
    assert not call.of("error")


def test_another_tool_that_returns_meanwhile_waits_for_the_value() -> None:
    async def look_up(params: FunctionCallParams) -> None:
        """Look something up."""

        async def collect() -> None:
            case.outcomes.append(await ask_code(case.agents[-1].call))

        collecting.append(case.agents[-1].call._state.spawn(collect(), "collect"))
        await asyncio.sleep(1)
        await params.result_callback({"found": "nothing"})

    collecting: list[Any] = []
    case = CollectingCase(Tool("look_up"), "There is nothing.", texts=["hello", "four one five seven", "yes"])
    case.outcomes = []
    call = case.call(say("1", "2", "3").pause(4), agent={"greeting": None, "tools": [look_up]})
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot")[-1] == "There is nothing."
    assert texts(call, "bot").count("There is nothing.") == 1


def test_keys_are_no_turns_of_the_model() -> None:
    case = CollectingCase("You are welcome.", texts=["thank you"])
    caller = (
        Caller()
        .until("code")
        .pause(0.5)
        .press("4157")
        .until("right")
        .press("1")
        .pause(3)
        .say(VOICE, text="x")
    )
    call = case.collect(ask_code, caller, agent={"dtmf": "text"})
    assert value_of(case.outcomes) == "4157"
    assert case.outcomes[0].how == "keys"
    assert texts(call, "bot")[-1] == "You are welcome."


def test_a_secret_is_taken_out_of_the_conversation_that_the_provider_keeps() -> None:
    async def form(call: Call) -> Collected[str]:
        found: Collected[str] = await ask_code(call, redact=True)
        await call.respond("Thank the caller.")
        return found

    case = CollectingCase("Thank you.", texts=["four one five seven", "yes"])
    call = case.collect(form, say("1", "2").pause(3))
    assert value_of(case.outcomes) == "4157"
    known = str(case.server.session.conversation())
    assert "four one" not in known
    assert "4 1 5 7" not in known
    assert "Thank the caller." in known
    assert "4 1 5 7" not in str(case.context)
    assert "four one" not in str(case.context)
    assert "4 1 5 7" not in str([event.data for event in call.events])
    assert not call.of("error")


def test_a_lost_session_does_not_lose_the_value() -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(VOICE, text="four one five seven")
        await line.speech(after=1.0)
        case.server.session.drop()
        await line.pause(12)
        await line.my_turn()
        await line.say(VOICE, text="yes")
        await line.pause(4)

    case = CollectingCase(texts=["four one five seven", "yes"])
    call = case.collect(ask_code, caller)
    assert value_of(case.outcomes) == "4157"
    assert len(case.server.sessions) == 2
    assert call.said.count("What is your code") == 1


def test_a_killed_agent_goes_on_in_the_same_step_and_the_provider_knows_it() -> None:
    case = CollectingCase("Bye.", texts=["four one five seven", "yes", "bye"])
    call = case.collect(ask_code, say("1", "2", "3"), losses=[AgentLoss("user_turn", 0.05)])
    assert value_of(case.outcomes) == "4157"
    assert call.of("agent_lost")
    assert call.said.count("What is your code") == 1


# ---------------------------------------------------------------------- who cannot be kept from answering


@pytest.mark.parametrize("after_s", [0.1, 0.5])
def test_nobody_waits_for_an_answer_behind_the_value_when_the_agent_was_killed_in_it(after_s: float) -> None:
    async def form(call: Call) -> Any:
        collected = await ask_code(call)
        await call.say("Thank you, that is noted.")
        return collected

    case = SpokenCase("From nine to five.", texts=["four one five seven", "yes"])
    call = case.collect(
        form,
        say("1", "2").pause(25),
        agent={"idle_timeout_secs": None},
        losses=[AgentLoss("user_turn", after_s)],
    )
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot")[-1] == "Thank you, that is noted.", call.timeline()
    assert not call.of("error")
    assert case.requests == [], "nothing has waited for the end of the collection"


def test_a_model_that_answers_by_itself_is_refused_in_a_sentence() -> None:
    case = CollectingGeminiCase(texts=["hello"])
    call = case.call(
        Caller().pause(2),
        agent={"greeting": None, "tools": [as_tool(collect_digits, when="you need a code")]},
    )
    assert (
        "the tool 'collect_digits' collects a value: GeminiLiveLLMService answers each turn"
        in call.end_detail
    )
    assert not call.of("answered"), "the caller is told before anybody answers"


def test_a_model_that_answers_by_itself_is_refused_by_a_call_of_collect() -> None:
    case = CollectingGeminiCase(texts=["hello"])
    case.collect(ask_code, Caller().pause(2))
    assert "its protocol has no way to keep it silent" in str(case.outcomes[0])


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_with_ears_of_ones_own_googles_model_hears_nothing_meanwhile_and_is_told_the_words() -> None:
    words = ("four one five six", "no, seven not six", "yes", "thank you")
    case = CollectingGeminiCase("You are welcome.", texts=["thank you"])
    call = case.collect(ask_code, say("1", "2", "3", "4"), action={"stt": ears(*words)})
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot")[-1] == "You are welcome."
    assert texts(call, "user") == list(words)
    session = case.server.session
    assert session.heard_s < 4, "of the last turn, which is the model's again"
    assert "no, seven not six" in str(session.conversation())
    assert not call.of("error")


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_a_question_in_between_is_told_googles_model_which_answers_it() -> None:
    words = ("when are you open?", "four one five seven", "yes")
    case = CollectingGeminiCase("From nine to five.", texts=[])
    call = case.collect(ask_code, say("1", "2", "3").pause(3), action={"stt": ears(*words)})
    assert value_of(case.outcomes) == "4157"
    assert texts(call, "bot").count("From nine to five.") == 1
    assert texts(call, "bot").count("What is your code?") == 2


@pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
def test_a_secret_is_not_told_googles_model() -> None:
    case = CollectingGeminiCase(texts=[])
    case.collect(
        lambda call: ask_code(call, redact=True),
        say("1", "2").pause(3),
        action={"stt": ears("four one five seven", "yes")},
    )
    assert value_of(case.outcomes) == "4157"
    assert "four one" not in str(case.server.session.conversation())
    assert "four one" not in str(case.context)


def test_a_model_of_an_unknown_protocol_in_a_chain_of_ones_own_is_refused() -> None:
    class SomeRealtimeService(ScriptedLLM):
        def service_metadata_frame(self) -> LLMServiceMetadataFrame:
            return LLMServiceMetadataFrame(service_name="some", is_realtime_service=True)

    found: list[str] = []

    async def bot(call: Call) -> None:
        context = LLMContext([])
        pipeline = CallPipeline.voice(
            call,
            stt=ears("hello"),
            llm=SomeRealtimeService(Replies()),
            tts=ToneTTS(),
            context=context,
        )

        async def form(_: object) -> None:
            try:
                await ask_code(call)
            except StageError as error:
                found.append(str(error))

        call.on("answered", form)
        await call.run(pipeline)

    simulate(bot, Caller().pause(1), limit_s=20)
    assert found[0].startswith(
        "SomeRealtimeService answers each turn of the caller by itself, and it is not known"
    )


def test_a_model_in_a_chain_of_ones_own_is_kept_from_answering() -> None:
    found: list[Any] = []
    server = OpenAIRealtimeServer(
        Replies("You are welcome."), ears=Transcripts(texts=["four one five seven", "yes", "bye"])
    )

    async def bot(call: Call) -> None:
        await server.start()
        llm = OpenAIRealtimeLLMService(api_key="none", base_url=server.url)
        pipeline = CallPipeline.speech_to_speech(
            call, llm=llm, context=LLMContext([]), turns=ExternalUserTurnStrategies()
        )

        async def form(_: object) -> None:
            found.append(await ask_code(call))

        call.on("answered", form)
        await call.run(pipeline)

    call = simulate(bot, say("1", "2", "3"), limit_s=60)
    assert value_of(found) == "4157"
    assert texts(call, "bot")[-1] == "You are welcome."
    told = [one.body["session"] for one in server.session.received if one.kind == "session.update"]
    creates = [
        (one.get("audio", {}).get("input", {}).get("turn_detection") or {}).get("create_response")
        for one in told
    ]
    assert creates[-2:] == [False, True], "its provider answers by itself: it is told not to, and told again"
