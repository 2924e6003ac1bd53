"""`piopiy simulate`: a bot's file called by recordings, without a gateway."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from tests.support.scripted_bot import BOOKING

BOT = """
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from piopiy_pipeline.voice_agent import VoiceAgent

async def on_new_session(call_id):
    print("what a bot prints is not a result")
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")
    await agent.Action(stt=ScriptedSTT(["a table"]), llm=ScriptedLLM(["Certainly."]), tts=ToneTTS())
    await agent.start()
"""


@pytest.fixture
def bot(tmp_path: Path) -> str:
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    return str(path)


def test_it_prints_the_call_and_sums_up(bot: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", bot, str(BOOKING[0])]) == 0
    out, err = capsys.readouterr()
    assert "caller  speaks '01-people.wav'" in out
    assert "'Certainly.'" in out
    assert out.splitlines()[-1].startswith("1 call, ")
    assert "voice to voice: median" in out.splitlines()[-1]
    assert "what a bot prints" not in out
    assert "what a bot prints" in err


def test_it_says_what_was_walked_of_a_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(BOT.replace('greeting="Hello."', 'flow="desk.yaml"'))
    (tmp_path / "desk.yaml").write_text(
        "initial_node: a\nnodes:\n"
        "  a: {task_messages: [], functions: "
        "[{name: go, transition_only: true, description: Go on., transition_to: b}]}\n"
        "  b: {task_messages: []}\n"
    )
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 0
    out = capsys.readouterr().out
    assert "the flow goes to 'a'" in out
    assert "flow desk: 1 call, 1 of 2 nodes, 0 of 1 edges walked\n  never walked: a --go--> b\n" in out


def test_as_json_it_prints_events_turns_and_a_summary(bot: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", bot, str(BOOKING[0]), "--json", "--calls", "2", "--seed", "7"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    summaries = [line for line in lines if line["event"] == "call"]
    assert [(line["seed"], line["reason"]) for line in summaries] == [
        (7, "caller_hangup"),
        (8, "caller_hangup"),
    ]
    assert {line["user"] for line in lines if line["event"] == "turn" and line["turn"] == 1} == {"a table"}
    assert lines[0]["event"] == "answered"


def test_it_writes_a_report_and_a_recording(bot: str, tmp_path: Path) -> None:
    report, record = tmp_path / "calls.html", tmp_path / "call.zip"
    assert main(["simulate", bot, str(BOOKING[0]), "--report", str(report), "--record", str(record)]) == 0
    assert "Certainly." in report.read_text()
    assert record.is_file()


def test_the_turns_may_be_typed(
    bot: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_voice(*_: object, **__: object) -> None:
        raise AssertionError("nothing is spoken")

    monkeypatch.setattr("piopiy_pipeline.testing.line.utterance_audio.synthesize", no_voice)
    wav = Path(bot).with_name("people.wav")
    wav.write_bytes(BOOKING[0].read_bytes())
    wav.with_suffix(".txt").write_text("A table for four\n")
    assert main(["simulate", bot, str(wav), "--say", "Thank you.", "--text", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    typed = [line["user"] for line in lines if line["event"] == "turn" and line["user"]]
    assert typed == ["A table for four", "Thank you."]
    assert {line["event"] for line in lines} >= {"typed", "shown"}


def test_over_a_bad_telephone_line(bot: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rate", "8000", "--loss", "5", "--jitter", "30", "--noise", "20"]
    assert main(["simulate", bot, str(BOOKING[0]), *options]) == 0
    assert "lost" in capsys.readouterr().out


def test_a_call_in_which_nobody_speaks_any_more_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(BOT.replace('greeting="Hello."', 'greeting="Hello.", idle_timeout_secs=3'))
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 1
    assert "ended with idle_timeout" in capsys.readouterr().out


def test_a_bot_that_fails_or_hangs_is_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("async def on_new_session(call):\n    raise LookupError('no such customer')\n")
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 1
    assert "piopiy: 1 of 1 call failed: the callback failed: LookupError" in capsys.readouterr().err
    late = BOT.replace("await agent.start()", "await agent.start()\n    raise LookupError('no such note')")
    bot.write_text(late)
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 1
    out, err = capsys.readouterr()
    assert "the call ends: caller_hangup" in out
    assert re.search(
        r"failed: the callback failed after the call: LookupError at \S*bot.py:\d+: no such note", err
    )
    bot.write_text(
        BOT.replace("await agent.start()", "await agent.start()\n    assert not 'what a test would'")
    )
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 1
    out, err = capsys.readouterr()
    assert "the call ends: caller_hangup" in out, (
        "an assertion is an error like others here: the call is shown"
    )
    assert re.search(r"failed: the callback failed after the call: AssertionError at \S*bot.py:\d+", err)
    bot.write_text("import asyncio\nasync def on_new_session(call):\n    await asyncio.Event().wait()\n")
    assert main(["simulate", str(bot), str(BOOKING[0])]) == 1
    assert "piopiy: the bot did not answer within 10 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody.py"], "nobody.py: there is no such bot"),
        (["WANTS_MORE"], "wants_more.py: create_session wants 'people', which is not of a call"),
        (["BOT", "nothing.wav"], "nothing.wav: no such file"),
        (["BOT", "--rate", "44100"], "--rate 44100"),
        (["BOT", "--loss", "99"], "--loss 99: it is a percentage from 0 to less than 80"),
        (["BOT", "--loss", "-1"], "--loss -1: it is a percentage"),
        (["BOT", "--jitter", "-5"], "--jitter -5: it is a number of milliseconds from 0"),
        (["BOT", "--noise", "nan"], "--noise nan: it is a number of dB"),
        (["BOT", "--interrupt", "-1"], "--interrupt -1: it is a number of seconds"),
        (["BOT", "--calls", "0"], "--calls 0"),
        (["BOT", "--text", "--noise", "20"], "--noise is of a line with sound: leave it out, or --text"),
        (["BOT", "--text", "WORDLESS"], "a text chat has words only"),
        (["BOT", "--record", "call.wav"], "ends in .zip"),
        (["BOT", "--record", "/nowhere/at/all.zip"], "--record /nowhere/at/all.zip: cannot be written"),
        (["BOT", "--report", "/nowhere/at/all.html"], "--report /nowhere/at/all.html"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_exit_status_2(
    bot: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wordless = Path(bot).with_name("wordless.wav")
    wordless.write_bytes(BOOKING[0].read_bytes())
    wants_more = Path(bot).with_name("wants_more.py")
    wants_more.write_text("async def on_new_session(people): ...\n")
    named = {"BOT": bot, "WORDLESS": str(wordless), "WANTS_MORE": str(wants_more)}
    assert main(["simulate", *(named.get(each, each) for each in arguments)]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
