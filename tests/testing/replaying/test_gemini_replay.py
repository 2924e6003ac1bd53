"""Calls with Gemini Live, recorded and replayed. In virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.testing import Caller, replay
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts
from tests.testing.replaying.test_realtime_replay import TEXTS, booked_over, booking, recorded

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import HALF_CASCADE, MODELS, GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


@pytest.fixture
def case() -> Case:
    return booked_over(GeminiCase)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_bot_says_the_same_and_asks_nobody(case: Case, model: str, tmp_path: Path) -> None:
    booked: list[int] = []
    file = recorded(case, tmp_path, booked, service={"model": model})
    assert booked == [4]
    sessions = len(case.server.sessions)
    outcome = replay(file, case.bot)
    outcome.assert_same()
    assert booked == [4, 4], "tools run"
    assert len(case.server.sessions) == sessions
    before, after = CapturedCall(file), outcome.replayed
    assert before.meta.version == after.meta.version == 2
    for kind in ("bot_started", "bot_stopped", "user_turn", "bot_turn", "tool", "tool_result", "end"):
        at, at_now = ([event.at for event in one.events if event.kind == kind] for one in (before, after))
        assert at_now == pytest.approx(at, abs=0.2), kind


def test_what_is_in_the_file_gives_nobody_the_conversation(case: Case, tmp_path: Path) -> None:
    lines = CapturedCall(recorded(case, tmp_path, [])).exchanges
    text = json.dumps([line.data for line in lines])
    assert '"newHandle": "left out"' in text
    assert "handle_" not in text
    assert len(text) < 100_000, "the audio is in a file of its own"


def test_what_changed_has_a_name(case: Case, tmp_path: Path) -> None:
    file = recorded(case, tmp_path, [])
    case.agent = {"instructions": "Be long.", "greeting": "Hello?", "tools": [booking([])]}
    report = replay(file, case.bot).report()
    assert "its session.system_instruction was 'Be brief.', and is 'Be long.'" in report
    assert "Hello?" in report
    assert "what the bot said" not in report, "it says what it has said"


def test_a_caller_who_is_not_let_cut_in_shows(case: Case, tmp_path: Path) -> None:
    file = recorded(case, tmp_path, [])
    case.action = {"interruption": "never"}
    assert "what the bot said" in replay(file, case.bot).report()


@pytest.mark.parametrize("stt", [False, True])
def test_a_hybrid_is_replayed(stt: bool, tmp_path: Path) -> None:
    def services() -> dict[str, Any]:
        return {"stt": ScriptedSTT(["a table please", "yes"])} if stt else {"tts": ToneTTS(words=True)}

    case = GeminiCase(LONG, "Goodbye.", texts=TEXTS)
    model = {"model": HALF_CASCADE}
    caller = Caller().say(PEOPLE).say(YES).pause(3).hangup()
    call = case.call(caller, record=tmp_path / "call.zip", action=services(), service=model)
    assert texts(call, "bot") == [GREETING, LONG, "Goodbye."]
    case.action = services()
    replay(tmp_path / "call.zip", case.bot).assert_same()


def test_a_recording_of_another_protocol_says_what_it_does_not_have(tmp_path: Path) -> None:
    other = Case(LONG, texts=TEXTS)
    other.call(Caller().say(PEOPLE).pause(3).hangup(), record=tmp_path / "call.zip")
    case = GeminiCase(LONG, texts=TEXTS)
    case.call(Caller().pause(1))
    report = replay(tmp_path / "call.zip", case.bot).report()
    assert "the recording is of a model with another protocol" in report
