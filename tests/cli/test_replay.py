"""`piopiy replay`: a live call, recorded by the agent that took it, against the bot as it is afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from piopiy_pipeline.services.providers import prepare
from piopiy_pipeline.testing import Caller, Providers, Transcripts, simulate
from piopiy_pipeline.testing.botfile import load_bot
from tests.support.calls import house

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The front desk, in a folder of its own."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("front_desk.py", "front_desk.yaml"):
        shutil.copy(EXAMPLES / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def recorded(desk: Path) -> Path:
    """A booking, over real sockets and in real time, with the offline services."""

    async def scenario() -> None:
        await prepare(playbook=desk / "front_desk.yaml")
        async with house(load_bot(desk / "front_desk.py")) as place:
            # without a pause in a turn, where a busy machine hears two
            turns = ("booking/01-people", "booking/02-when", "booking/03-yes", "booking_at_once/03-goodbye")
            log = await place.call(*(f"{turn}.wav" for turn in turns), hangup_after_s=8)
        assert log.reason.value == "agent_hangup"

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIOPIY_RECORD", str(desk / "calls"))
        patch.setenv("BOOKINGS", str(desk / "bookings.jsonl"))
        asyncio.run(scenario())
    (file,) = (desk / "calls").iterdir()
    return file


@pytest.fixture(autouse=True)
def bookings(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools run in a replay: not where the live ones do."""
    monkeypatch.setenv("BOOKINGS", str(desk / "bookings-of-replays.jsonl"))


ENDED = """
import os, signal, tempfile
from pathlib import Path

async def create_session(call):
    Path("there").write_text(" ".join(os.listdir(tempfile.gettempdir())))
    os.kill(os.getpid(), signal.{signal})
"""

BUSY = ("--tolerance", "30")
"""A call is live, and on a busy machine its answers are late."""


@pytest.mark.realtime
def test_the_same_bot_replays_without_a_difference(
    recorded: Path, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In real time, because the call that is replayed is a live one."""
    assert main(["replay", str(recorded), str(desk / "front_desk.py"), *BUSY]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == f"{recorded}: nothing differs"


@pytest.mark.realtime
def test_a_reply_that_was_changed_is_all_that_is_printed(
    recorded: Path, desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In real time, because the call that is replayed is a live one."""
    shutil.copy(desk / "front_desk.py", tmp_path)
    playbook = (desk / "front_desk.yaml").read_text()
    old, new = "is booked. Anything else?", "is reserved for you. Is there anything else that I can do?"
    assert old in playbook
    (tmp_path / "front_desk.yaml").write_text(playbook.replace(old, new))
    assert main(["replay", str(recorded), str(tmp_path / "front_desk.py"), *BUSY]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "what the bot said" in lines[0]
    assert lines[1].strip().startswith("recorded: ")
    assert lines[1].endswith(f'{old}"')
    assert lines[2].endswith(f'{new}"')

    kept = tmp_path / "today.zip"
    bot = str(tmp_path / "front_desk.py")
    arguments = ["replay", str(recorded), bot, "--json", "--record", str(kept), *BUSY]
    assert main(arguments) == 1
    (difference,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (difference["what"], difference["recorded"][-len(old) - 1 : -1]) == ("bot", old)
    assert zipfile.is_zipfile(kept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.zip", "{bot}"], "none.zip: no such file"),
        (["{bot}", "{bot}"], "not a recorded call (it is no zip file)"),
        (["{bot}", "none.py"], "none.py: there is no such bot"),
        (["{bot}", "{bot}", "--record", "x.wav"], "the name of a recording ends in .zip"),
        (["{bot}", "{bot}", "--record", "/no/folder/x.zip"], "--record /no/folder/x.zip: cannot be written"),
        (["{bot}", "{bot}", "--tolerance", "-1"], "--tolerance -1: it is a number of seconds"),
    ],
)
def test_what_is_typed_wrong_is_said_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = str(EXAMPLES / "front_desk.py")
    assert main(["replay", *(argument.replace("{bot}", bot) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.realtime
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_ended_leaves_nothing_of_what_the_call_said(
    recorded: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "bot.py").write_text(ENDED.format(signal=number.name))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "piopiy_pipeline.cli", "replay", str(recorded), "bot.py"],
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup ignores it, and its children do
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-number, "", "")
    assert "piopiy-replay-" in (tmp_path / "there").read_text()
    assert not list(scratch.glob("piopiy-*"))


SCRIPTED = """
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

async def create_session(call):
    agent = VoiceAgent(instructions="Be brief.", greeting="Good evening.")
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM(["Goodbye."]), tts=ToneTTS())
    await agent.start()
"""


def test_the_services_that_were_scripted_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot, file = tmp_path / "bot.py", tmp_path / "call.zip"
    bot.write_text(SCRIPTED)
    turn = EXAMPLES.parent / "tests" / "audio" / "booking" / "03-yes.wav"
    providers = Providers(stt=Transcripts(texts=["Yes."]))
    simulate(bot, Caller().say(turn).pause(2).hangup(), providers=providers, record=file)
    assert main(["replay", str(file), str(bot)]) == 0
    assert f"{file}: scripted in that call: stt, llm. " in capsys.readouterr().err
