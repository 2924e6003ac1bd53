"""Each parameter of an author's with a speech-to-speech model: it works, or it is an error in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.collect import collect_value
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.speech_agent import SpeechAgent
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.testing import Caller, ScriptedTTS
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import Case

TESTS = Path(__file__).parents[2]
S2S, CALLS, OWN = (
    "call/test_speech_to_speech.py",
    "call/test_realtime_calls.py",
    "session/realtime/test_realtime_parameters.py",
)
HAND_OFF, COLLECT = "call/test_every_providers_hand_off.py", "collect/test_realtime_collecting.py"
EVERY = "call/test_every_provider.py"
VOICE = "call/test_voice_agent.py"  # with both kinds of bots

AGENT: dict[str, Any] = {
    "instructions": f"{S2S} test_a_whole_call",
    "tools": f"{EVERY} test_a_tool_is_used_and_its_result_is_answered",
    "greeting": f"{S2S} test_a_whole_call",
    "idle_timeout_secs": f"{EVERY} test_a_caller_who_says_nothing_is_asked_and_the_call_ends",
    "call": "session/realtime/test_realtime_arguments.py test_to_say_nothing_asks_no_model",
    "context": f"{OWN} test_the_conversation_before_the_call_is_told_the_provider",
    "error_line": (
        {"agent": {"error_line": "Oh dear."}},
        "error_line='Oh dear.': a model that has failed cannot say it",
    ),
    "reply_timeout_secs": f"{S2S} test_an_answer_that_does_not_come_is_given_up_and_asked_for_once_more",
    "tool_timeout_secs": f"{OWN} test_a_tool_that_hangs_is_given_up",
    "dtmf": f"{EVERY} test_keys_as_text_are_a_turn",
    "dtmf_terminator": f"{EVERY} test_keys_as_text_are_a_turn",
    "dtmf_timeout_secs": f"{OWN} test_keys_without_a_terminator_are_a_turn_after_a_while",
    "initial_messages": f"{OWN} test_the_conversation_before_the_call_is_told_the_provider",
    "spoken_text": ({"agent": {"spoken_text": SpokenText("de")}}, "spoken_text is for a TTS"),
    "filler": "session/realtime/test_realtime_sayings.py test_the_model_says_the_filler_while_a_tool_runs",
    "idle": f"{EVERY} test_a_caller_who_says_nothing_is_asked_and_the_call_ends",
    "limits": "call/test_endless_models.py test_",
    "flow": "call/test_every_providers_flow.py test_",
    "flow_state": ({"agent": {"flow_state": {"a": 1}}}, "flow_state is for a flow, and there is none"),
    "languages": f"{OWN} test_the_model_is_told_of_another_language_of_the_caller",
    "summarise_after": (
        {"agent": {"summarise_after": Summaries()}},
        "summarise_after: the provider of OpenAIRealtimeLLMService keeps the conversation itself",
    ),
}
TIMES = "llm_first_token_secs and llm_between_tokens_secs are for a list of models"
ACTION: dict[str, Any] = {
    "stt": f"{COLLECT} test_with_a_voice_or_ears_of_ones_own",
    "llm": f"{S2S} test_a_whole_call",
    "tts": f"{COLLECT} test_with_a_voice_or_ears_of_ones_own",
    "stt_switcher": ({"action": {"stt_switcher": True}}, "stt is missing"),
    "tts_switcher": ({"action": {"tts_switcher": True}}, "tts is missing"),
    "llm_first_token_secs": ({"action": {"llm_first_token_secs": 1.0}}, TIMES),
    "llm_between_tokens_secs": ({"action": {"llm_between_tokens_secs": 9.0}}, TIMES),
    "mcp_tools": f"{OWN} test_tools_of_an_mcp_server_are_advertised",
    "vad": f"{OWN} test_the_provider_hears_turns_without_a_vad",
    "enable_metrics": f"{OWN} test_metrics_are_taken",
    "enable_usage_metrics": f"{OWN} test_metrics_are_taken",
    "allow_interruptions": f"{S2S} test_who_may_not_interrupt_is_answered_when_the_bot_has_finished",
    "interruption_strategy": ({"action": {"interruption_strategy": 2}}, "interruption_strategy"),
    "interruption": f"{COLLECT} test_the_model_is_kept_from_answering_whoever_ends_the_turns",
    "turns": f"{COLLECT} test_the_model_is_kept_from_answering_whoever_ends_the_turns",
    "eager": (
        {"action": {"eager": True}},
        "eager=True: a speech-to-speech model cannot begin an answer ahead",
    ),
    "telecmi_params": "test_speech_agent.py test_",
}
SPEECH_AGENT: dict[str, Any] = {
    "greeting": "test_speech_agent.py test_",
    "instructions": "test_speech_agent.py test_",
    "idle_timeout_secs": "test_speech_agent.py test_",
    "tools": f"{OWN} test_tools_for_a_stage_with_a_conversation_of_its_own_are_refused",
    "call": "test_speech_agent.py test_",
}
PERSONA: dict[str, Any] = dict.fromkeys((field.name for field in fields(Persona)), f"{HAND_OFF} test_")
COLLECTING: dict[str, Any] = {
    "call": f"{COLLECT} test_with_a_voice_or_ears_of_ones_own",
    "reader": f"{COLLECT} test_with_a_voice_or_ears_of_ones_own",
    "prompt": f"{COLLECT} test_with_a_voice_or_ears_of_ones_own",
    "redact": f"{COLLECT} test_a_secret_is_taken_out_of_the_conversation_that_the_provider_keeps",
    "model_reads": f"{COLLECT} test_a_date_that_the_code_does_not_read_is_read_by_the_model_beside_the_conversation",
    **dict.fromkeys(
        ("name", "retry", "read_back", "attempts", "silence_s", "timeout_s", "phrases"),
        "collect/test_collected_calls.py test_",  # with both kinds of bots
    ),
}
TABLES: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (VoiceAgent, AGENT),
    (VoiceAgent.Action, ACTION),
    (SpeechAgent, SPEECH_AGENT),
    (Persona, PERSONA),
    (collect_value, COLLECTING),
    (Call.hand_over, {"to": f"{HAND_OFF} test_", "context": f"{HAND_OFF} test_"}),
]
IDS = ["VoiceAgent", "Action", "SpeechAgent", "Persona", "collect_value", "hand_over"]
REFUSED = [(name, *case) for _, table in TABLES for name, case in table.items() if not isinstance(case, str)]


@pytest.mark.parametrize(("callable_", "table"), TABLES, ids=IDS)
def test_each_parameter_is_known_to_work_or_is_refused(
    callable_: Callable[..., Any], table: dict[str, Any]
) -> None:
    assert set(table) == set(inspect.signature(callable_).parameters) - {"self"}
    for name, case in table.items():
        if isinstance(case, str):
            file, test = case.split(" ")
            assert f"def {test}" in (TESTS / file).read_text(), f"{name}: no such test"


@pytest.mark.parametrize(("name", "given", "says"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_what_cannot_work_is_one_sentence(name: str, given: dict[str, Any], says: str) -> None:
    call = Case().call(Caller().pause(1), **given)
    assert says in call.end_detail, name
    assert not call.of("answered")


# ---------------------------------------------------------------------- what works, and has no other test


BEFORE = [{"role": "user", "content": "I called before."}, {"role": "assistant", "content": "I remember."}]


def test_the_conversation_before_the_call_is_told_the_provider() -> None:
    from pipecat.processors.aggregators.llm_context import LLMContext

    for given in (
        {"initial_messages": BEFORE},
        {"context": LLMContext([{"role": "system", "content": "Be brief."}, *BEFORE])},  # type: ignore[list-item]
    ):
        case = Case()
        case.call(Caller().pause(3), agent={"greeting": None, **given})
        known = case.server.session.conversation()
        assert known[0]["content"] == "Be brief."
        assert [one["content"] for one in known[1:]] == [one["content"] for one in BEFORE]


def test_a_tool_that_hangs_is_given_up() -> None:
    import asyncio

    from piopiy_pipeline.testing import Tool
    from tests.support.virtual import PEOPLE, texts

    async def look_up(params: Any) -> None:
        """Look something up."""
        await asyncio.sleep(100)

    case = Case((Tool("look_up"), "It took too long."), texts=["how many"])
    call = case.call(
        Caller().say(PEOPLE).pause(9), agent={"greeting": None, "tools": [look_up], "tool_timeout_secs": 4}
    )
    assert texts(call, "bot") == ["It took too long."]


def test_keys_without_a_terminator_are_a_turn_after_a_while() -> None:
    case = Case("Table seven.")
    case.call(
        Caller().pause(1).press("7#").pause(6),
        agent={"greeting": None, "dtmf": "text", "dtmf_terminator": None, "dtmf_timeout_secs": 3},
    )
    assert case.said == ["7#", "Table seven."]


def test_the_model_is_told_of_another_language_of_the_caller() -> None:
    pytest.importorskip("py3langid", reason="pip install 'piopiy-pipeline[languages]'")
    from tests.support.virtual import PEOPLE, YES

    heard = ["Guten Tag, ich möchte gerne einen Tisch für morgen Abend bestellen", "ja bitte"]
    case = Case("Gerne.", "Bis morgen.", texts=heard)
    case.call(Caller().say(PEOPLE).say(YES), agent={"greeting": None, "languages": {"en": None, "de": None}})
    assert "The caller speaks German. Answer in German from now on." in [
        item.text() for item in case.server.session.items.values()
    ]


def test_tools_of_an_mcp_server_are_advertised() -> None:
    async def look_up(params: Any) -> None:
        """Look something up."""

    case = Case()
    case.call(Caller().pause(2), agent={"greeting": None}, action={"mcp_tools": [look_up]})
    assert [tool["name"] for tool in case.server.session.config.body["tools"]] == ["look_up"]


def test_the_provider_hears_turns_without_a_vad() -> None:
    from tests.support.virtual import PEOPLE, texts

    case = Case("A table for two.", texts=["a table please"])
    call = case.call(Caller().say(PEOPLE), agent={"greeting": None}, action={"vad": False})
    assert texts(call, "bot") == ["A table for two."]


def test_metrics_are_taken() -> None:
    from pipecat.frames.frames import MetricsFrame

    from tests.support.virtual import PEOPLE

    seen: list[Frame] = []

    class Watch(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, MetricsFrame):
                seen.append(frame)
            await self.push_frame(frame, direction)

    async def run(made: VoiceAgent) -> None:
        made.pipeline.insert("watch", Watch(), after="llm", wants_audio=False)
        await made.start()

    case = Case("A table for two.", texts=["a table please"])
    case.call(
        Caller().say(PEOPLE),
        agent={"greeting": None},
        action={"enable_metrics": True, "enable_usage_metrics": True},
        run=run,
    )
    kinds = {type(one).__name__ for frame in seen for one in frame.data}  # type: ignore[attr-defined]
    assert {"TTFBMetricsData", "LLMUsageMetricsData"} <= kinds


def test_tools_for_a_stage_with_a_conversation_of_its_own_are_refused() -> None:
    from piopiy_pipeline.testing import simulate

    class Hears(FrameProcessor):
        pass

    async def look_up(params: Any) -> None:
        """Look something up."""

    async def bot(call: Call) -> None:
        agent = SpeechAgent(instructions="Be brief.", tools=[look_up])
        await agent.Action(omni=Hears(), tts=ScriptedTTS())
        await agent.start()

    call = simulate(bot, Caller().pause(1))
    assert "Hears keeps a conversation of its own, which no tools are told" in call.end_detail
