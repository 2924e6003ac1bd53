"""Calls of a model that hears and speaks itself, recorded and replayed. In virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.testing import Caller, Disconnects, Tool, Voice, replay, simulate
from piopiy_pipeline.testing.replaying.differences import truncations_in
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import COUGH, NO_WAIT
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
TEXTS = ["a table please", "yes", "goodbye then"]


async def cascade(call_id: str) -> None:
    agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
    await agent.Action(stt=ScriptedSTT(["a table please"]), llm=ScriptedLLM(["For how many?"]), tts=ToneTTS())
    await agent.start()


def booking(booked: list[int]) -> Any:
    async def book(params: FunctionCallParams, people: int) -> None:
        """Book a table."""
        booked.append(people)
        await params.result_callback({"booked": True})

    return book


def booked_over(kind: type[Case]) -> Case:
    """Return a bot that is interrupted, and books a table."""
    answers = (LONG, (Tool("book", people=4), "It is booked."), "Goodbye.")
    return kind(*answers, texts=TEXTS, voice=Voice(speed=2.0))


@pytest.fixture
def case() -> Case:
    return booked_over(Case)


@pytest.fixture(params=["openai", "gemini"])
def either(request: pytest.FixtureRequest) -> type[Case]:
    """A provider whose calls are recorded."""
    return PROVIDERS[request.param]()


def recorded(case: Case, path: Path, booked: list[int], **options: Any) -> Path:
    caller = Caller().say(PEOPLE).interrupt(YES, after=1.5).say(PEOPLE).pause(3).hangup()
    call = case.call(caller, agent={"tools": [booking(booked)]}, record=path / "call.zip", **options)
    assert texts(call, "bot")[0] == GREETING
    return path / "call.zip"


@pytest.mark.parametrize(
    "action", [{}, {"interruption": "immediate"}, {"turns": "smart"}], ids=["leaves", "immediate", "smart"]
)
def test_the_same_bot_says_the_same_and_asks_nobody(
    case: Case, action: dict[str, Any], tmp_path: Path
) -> None:
    booked: list[int] = []
    file = recorded(case, tmp_path, booked, action=action)
    assert booked == [4]
    sessions = len(case.server.sessions)
    outcome = replay(file, case.bot)
    outcome.assert_same()
    assert booked == [4, 4], "tools run"
    assert len(case.server.sessions) == sessions
    before, after = CapturedCall(file), outcome.replayed
    assert before.meta.version == after.meta.version == 2
    assert len(truncations_in(before)) == 1
    for (_, heard), (_, heard_now) in zip(truncations_in(before), truncations_in(after), strict=True):
        assert heard_now == pytest.approx(heard, abs=0.05)
    for kind in ("bot_started", "bot_stopped", "user_turn", "bot_turn", "tool", "tool_result", "end"):
        at, at_now = ([event.at for event in one.events if event.kind == kind] for one in (before, after))
        assert at_now == pytest.approx(at, abs=0.2), kind


@pytest.mark.parametrize(
    ("name", "action", "speed", "sounds"),
    [
        ("openai", {"turns": 0.5}, 1.5, [(NO_WAIT, 2.069), (COUGH, 1.061)]),
        ("voice_live", {}, 1.0, [(COUGH, 2.609)]),
        ("inworld", {"interruption": "immediate"}, None, [(COUGH, 1.28), (COUGH, 2.189)]),
        ("grok", {"turns": "smart"}, 0.8, [(NO_WAIT, 1.117)]),
        ("grok", {"interruption": "immediate"}, 0.6, [(NO_WAIT, 0.044), (PEOPLE, 0.22)]),
        ("gemini", {"turns": "smart"}, None, [(YES, 0.895), (COUGH, 2.484)]),
    ],
)
def test_a_call_with_holds_and_coughs_is_the_same_in_its_replay(
    name: str, action: dict[str, Any], speed: float | None, sounds: list[tuple[Path, float]], tmp_path: Path
) -> None:
    heard = ["" if sound is COUGH else "no wait" for sound, _ in sounds]
    replies = (LONG, LONG, "It is booked.", "Goodbye.")
    case = PROVIDERS[name]()(*replies, texts=["a table please", *heard, "yes"], voice=Voice(speed=speed))
    caller = Caller().say(PEOPLE)
    for sound, after_s in sounds:
        caller = caller.interrupt(sound, after=after_s)
    caller = caller.pause(2.594).say(PEOPLE).pause(2.594).hangup()
    call = case.call(caller, record=tmp_path / "call.zip", action=action)
    assert len(call.of("user_speech")) == len(sounds) + 2
    outcome = replay(tmp_path / "call.zip", case.bot)
    outcome.assert_same()
    before, after = (list(one.events) for one in (outcome.recorded, outcome.replayed))
    for kind in ("bot_started", "bot_stopped", "hold", "resume", "interruption"):
        at, at_now = ([event.at for event in events if event.kind == kind] for events in (before, after))
        assert at_now == pytest.approx(at, abs=0.1), kind


def test_a_replay_is_the_same_every_time(either: type[Case], tmp_path: Path) -> None:
    case = booked_over(either)
    file = recorded(case, tmp_path, [])
    runs = [replay(file, case.bot).replayed for _ in range(2)]
    assert len({tuple((event.at, event.kind) for event in run.events) for run in runs}) == 1


def test_what_changed_has_a_name(case: Case, tmp_path: Path) -> None:
    file = recorded(case, tmp_path, [])
    case.agent = {"instructions": "Be long.", "greeting": "Hello?", "tools": [booking([])]}
    report = replay(file, case.bot).report()
    assert "its session.instructions was 'Be brief.', and is 'Be long.'" in report
    assert "the model was asked what it had not been asked: response.instructions was" in report
    assert "Hello?" in report
    assert "what the bot said" not in report, "it says what it has said"


def test_a_tool_that_answers_otherwise_has_a_name(either: type[Case], tmp_path: Path) -> None:
    case = booked_over(either)
    file = recorded(case, tmp_path, [])

    async def book(params: FunctionCallParams, people: int) -> None:
        """Book a table."""
        await params.result_callback({"booked": False})

    case.agent = {"tools": [book]}
    report = replay(file, case.bot).report()
    if either is Case:
        assert "given[0].output was '{\"booked\": true}', and is '{\"booked\": false}'" in report
    else:
        assert "returned.book.response.booked was 'true', and is 'false'" in report


def test_a_caller_who_is_not_let_cut_in_shows_in_what_the_model_is_told(case: Case, tmp_path: Path) -> None:
    file = recorded(case, tmp_path, [])
    case.action = {"interruption": "never"}
    report = replay(file, case.bot).report()
    assert "how much the model was told was heard (cut 1)" in report
    assert LONG in report


def test_a_session_that_was_lost_is_lost_again(either: type[Case], tmp_path: Path) -> None:
    case = either(
        LONG, "Goodbye.", texts=TEXTS, reply_faults={1: Disconnects(after=0.3)}, voice=Voice(speed=1.5)
    )
    call = case.call(Caller().say(PEOPLE).say(YES).pause(3).hangup(), record=tmp_path / "call.zip")
    assert len(call.of("error")) == 1
    outcome = replay(tmp_path / "call.zip", case.bot)
    outcome.assert_same()
    assert [event.kind for event in outcome.replayed.events].count("error") == 1


@pytest.mark.parametrize("stt", [False, True])
def test_a_hybrid_is_replayed(stt: bool, tmp_path: Path) -> None:
    def services() -> dict[str, Any]:
        return {"stt": ScriptedSTT(["a table please", "yes"])} if stt else {"tts": ToneTTS(words=True)}

    case = Case(LONG, "Goodbye.", texts=TEXTS)
    caller = Caller().say(PEOPLE).say(YES).pause(3).hangup()
    call = case.call(caller, record=tmp_path / "call.zip", action=services())
    assert texts(call, "bot") == [GREETING, LONG, "Goodbye."]
    case.action = services()
    replay(tmp_path / "call.zip", case.bot).assert_same()


def test_a_recording_of_a_cascade_has_nothing_for_a_model_that_speaks(tmp_path: Path) -> None:
    simulate(cascade, Caller().say(PEOPLE).pause(3).hangup(), record=tmp_path / "call.zip")
    assert CapturedCall(tmp_path / "call.zip").meta.version == 1
    case = Case("For how many?", texts=TEXTS)
    case.call(Caller().pause(1))
    report = replay(tmp_path / "call.zip", case.bot).report()
    assert "the model was asked what it had not been asked: to follow" in report
