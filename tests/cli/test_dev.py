"""`piopiy dev` as a process, with a bot that speaks the agent's protocol by hand and starts in an instant."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from piopiy_pipeline.cli import bot_process as bot_module
from piopiy_pipeline.cli import main
from piopiy_pipeline.gateway.core.agent_assignment import PLACE_S
from tests.support.commands import Command, run_command

BOT = """
import json, os, signal, sys
from websockets.sync.client import connect

def on_sigterm(*_):
    print("bot drained", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, on_sigterm)
print(f"bot {os.getpid()} {os.environ['AGENT_ID']} {os.environ.get('PIOPIY_LLM')}", flush=True)
headers = {"Authorization": "Bearer " + os.environ["AGENT_TOKEN"]}
with connect(os.environ["PIOPIY_URL"] + "/agent", additional_headers=headers, proxy=None) as ws:
    register = {"type": "register", "agent_id": os.environ["AGENT_ID"],
                "instance_id": str(os.getpid()), "capacity": 1}
    ws.send(json.dumps(register))
    for message in ws:
        message = json.loads(message)
        if message["type"] == "ping":
            ws.send(json.dumps({"type": "pong", "n": message["n"]}))
"""
WAIT_S = 40.0


class Dev:
    """A running `piopiy dev` whose output is read line by line, with a bound on every wait.

    It is forked, and with `anew` it starts as its users start it.
    """

    def __init__(self, bot: Path, *arguments: str, folder: Path, anew: bool) -> None:
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        environment = {
            **os.environ,
            "PIOPIY_CREDENTIALS": str(folder),
            "XDG_DATA_HOME": str(folder.parent / "data"),
        }
        command = ("dev", str(bot), "--port", "0", *arguments)
        self.process: Command | subprocess.Popen[str]
        if anew:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "piopiy_pipeline.cli", *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        else:
            self.process = Command(*command, environment=environment, together=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def until(self, text: str) -> str:
        """The next line with `text` in it."""
        while True:
            try:
                line = self._queue.get(timeout=WAIT_S)
            except queue.Empty:
                pytest.fail(f"no {text!r} within {WAIT_S} s after {self.lines}")
            if line is None:
                pytest.fail(f"it ended before {text!r}: {self.lines}")
            self.lines.append(line)
            if text in line:
                return line

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reader.join(WAIT_S)
        if isinstance(self.process, Command):
            self.process.close()
        elif self.process.stdout is not None:
            self.process.stdout.close()


ISOLATED = """
import asyncio, os, signal
from piopiy_pipeline import Agent

async def on_new_session(call): ...

async def ready(agent, number):
    while not any(each.ready_s and each.instance_id.endswith(f"-w{number}") for each in agent.call_workers):
        await asyncio.sleep(0.05)

async def main():
    agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], on_new_session, isolation="process", workers=1)
    serving = asyncio.create_task(agent.connect())
    await ready(agent, 1)
    await asyncio.sleep(0.2)  # `piopiy dev` has seen it
    os.kill(agent.call_workers[0].pid, signal.SIGKILL)
    await ready(agent, 2)
    print(f"supervisor {os.getpid()}", flush=True)
    await serving

asyncio.run(main())
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    running: list[Dev] = []

    def start(source: str, *arguments: str, anew: bool = False) -> Dev:
        path = tmp_path / "bots" / "my bot.py"
        path.parent.mkdir()
        path.write_text(source)
        running.append(Dev(path, *arguments, folder=tmp_path / "credentials", anew=anew))
        return running[-1]

    yield start
    for dev in running:
        dev.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_says_ready_when_the_bot_has_registered_and_leaves_nothing_behind(
    start: Callable[..., Dev], tmp_path: Path
) -> None:
    dev = start(BOT, "--llm", "ollama", "--no-record", anew=True)
    dev.until("gateway listening on")
    assert list((tmp_path / "credentials").iterdir()), "who reads that can call"
    url = dev.until("gateway  ws://127.0.0.1:").split()[1]
    port = url.rsplit(":", 1)[1]
    assert dev.until("console").split()[1] == f"http://127.0.0.1:{port}/"
    records = dev.until("records")
    assert str(tmp_path / "data") in records
    assert records.endswith(", without recordings")
    reported = dev.until("bot ").split()
    assert reported[2:] == ["my_bot", "ollama"]
    dev.until("ready    my bot.py")
    assert f"call --url {url} --say" in dev.until("piopiy")
    (file,) = (tmp_path / "credentials").iterdir()
    assert file.name == f"dev-{port}.json"
    assert dev.interrupt() == 0
    assert not file.exists()
    assert not alive(int(reported[1]))


WAITS = """
import os, pathlib, sys, time
while not pathlib.Path({go!r}).exists():
    time.sleep(0.05)
if {fails}:
    sys.exit(7)
"""


@pytest.mark.realtime
@pytest.mark.parametrize("fails", [False, True])
def test_who_calls_while_the_bot_starts_rings_until_it_takes_calls_or_has_failed(
    fails: bool, start: Callable[..., Dev], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    tells = BOT.replace(
        "    for message in ws:\n", "    for message in ws:\n        print(message, flush=True)\n"
    )
    dev = start(WAITS.format(go=str(go), fails=fails) + tells, "--no-record")
    url = dev.until("gateway  ws://127.0.0.1:").split()[1]
    dev.until("starting my bot.py: who calls now rings")
    (file,) = (tmp_path / "credentials").iterdir()
    headers = {"Authorization": f"Bearer {json.loads(file.read_text())['caller_key']}"}
    with connect(f"{url}/call/my_bot", additional_headers=headers, proxy=None) as caller:
        caller.send('{"event": "start", "rate": 16000}')
        assert json.loads(caller.recv(WAIT_S))["event"] == "ringing"
        with pytest.raises(TimeoutError):  # longer than callers ring for an agent that nobody starts
            caller.recv(PLACE_S + 1)
        go.touch()
        if fails:
            ended = json.loads(caller.recv(WAIT_S))
            assert (ended["event"], ended["reason"]) == ("ended", "no_agent")
        else:
            dev.until('"type":"offer"')
    assert dev.interrupt() == 0


def test_telephones_may_call_when_that_is_asked_for(start: Callable[..., Dev]) -> None:
    dev = start(BOT, "--phone", "0")
    host, port = dev.until("phone    sip:my_bot@").rpartition("@")[2].split(":")
    request = (
        f"OPTIONS sip:my_bot@{host}:{port} SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK-1\r\n"
        "From: <sip:me@127.0.0.1>;tag=1\r\nTo: <sip:my_bot@127.0.0.1>\r\n"
        "Call-ID: 1@127.0.0.1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(WAIT_S)
        caller.sendto(request.encode(), (host, int(port)))
        assert caller.recv(4096).startswith(b"SIP/2.0 200 ")
    assert dev.interrupt() == 0


def test_a_change_of_the_file_starts_a_new_bot_and_then_drains_the_old_one(
    start: Callable[..., Dev], tmp_path: Path
) -> None:
    dev = start(BOT)
    first = int(dev.until("bot ").split()[1])
    dev.until("ready ")
    (tmp_path / "bots" / "my bot.py").write_text(BOT.replace("bot drained", "second drained"))
    dev.until("my bot.py changed")
    second = int(dev.until("bot ").split()[1])
    assert second != first
    dev.until("ready ")
    dev.until("bot drained")
    assert alive(second)
    assert dev.interrupt() == 0
    dev.until("second drained")


def test_a_bot_that_crashes_shows_its_traceback_and_waits_for_a_change(
    start: Callable[..., Dev], tmp_path: Path
) -> None:
    dev = start("import a_module_that_is_not_there\n")
    dev.until("Traceback")
    dev.until("ModuleNotFoundError: No module named 'a_module_that_is_not_there'")
    dev.until("Waiting for a change of")
    (tmp_path / "bots" / "my bot.py").write_text(BOT)
    dev.until("ready ")
    assert dev.interrupt() == 0


def test_a_bot_that_died_is_started_anew_until_it_dies_too_often(start: Callable[..., Dev]) -> None:
    dev = start(BOT)
    pids = set()
    for _ in range(bot_module._RESTARTS + 1):
        pid = int(dev.until("bot ").split()[1])
        dev.until("ready ")
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
        said = dev.until("the bot ended by signal 9")
        assert ("Starting it anew" in said) is (len(pids) <= bot_module._RESTARTS)
    assert "no call is taken. Waiting for a change of" in said
    assert len(pids) == bot_module._RESTARTS + 1
    assert dev.interrupt() == 0


@pytest.mark.parametrize(
    "bot",
    [
        BOT,
        pytest.param(
            ISOLATED, marks=pytest.mark.skipif(sys.platform != "linux", reason="isolation is for Linux")
        ),
    ],
    ids=["one process", "call workers"],
)
def test_a_change_that_breaks_the_bot_leaves_the_old_one_serving(
    bot: str, start: Callable[..., Dev], tmp_path: Path
) -> None:
    dev = start(bot)
    if bot is BOT:
        first = int(dev.until("bot ").split()[1])
        dev.until("ready ")
    else:
        dev.until("ready ")
        first = int(dev.until("supervisor ").split()[1])
    (tmp_path / "bots" / "my bot.py").write_text("raise SystemExit(7)\n")
    assert "the one before it goes on taking calls" in dev.until("exit status 7")
    assert alive(first)
    assert dev.interrupt() == 0
    assert not alive(first)


def test_what_cannot_be_started_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIOPIY_CREDENTIALS", str(tmp_path / "credentials"))
    assert main(["dev", str(tmp_path / "none.py")]) == 2
    assert "none.py: there is no such bot" in capsys.readouterr().err
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    assert main(["dev", str(path), "--port", "70000"]) == 2
    assert "--port 70000" in capsys.readouterr().err
    assert main(["dev", str(path), "--phone", "somewhere"]) == 2
    assert "--phone somewhere: it is a port, or HOST:PORT" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dev", str(path), "--port", str(port)]) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith(f"piopiy: port {port} is in use")
    assert not (tmp_path / "credentials").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--llm", "gpt"), "choose one of playbook, openai"),
        (("--stt", "deepgram"), "DEEPGRAM_API_KEY is not set"),
        (("--tts", "cartesia"), "CARTESIA_VOICE_ID is not set"),
        (("--stt", "whisper"), "pip install 'piopiy-pipeline[whisper]'"),
    ],
)
def test_a_service_that_cannot_be_had_is_refused_before_anything_starts(
    options: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("")
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = run_command("dev", str(bot), "--port", "0", *options, environment=environment)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_front_desk_does_not_start_with_a_voice_that_is_another_file(damaged_voice: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "piopiy_pipeline.cli", "dev", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(damaged_voice)},
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"piopiy: \S+\.onnx is not the file that it should be .*: install \S+ again", line)
