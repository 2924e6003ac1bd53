"""`piopiy call` over a real socket, against a scripted gateway whose bot greets, answers, and hangs up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.options import METADATA_BYTES, given_metadata
from piopiy_pipeline.cli.target import Target, no_gateway
from piopiy_pipeline.gateway.port.socket_leg import MAX_MESSAGE_BYTES
from piopiy_pipeline.signaling.caller import (
    Answered,
    CallStart,
    Conversation,
    Leave,
    LegEnded,
    Ringing,
    parse_caller_event,
)
from piopiy_pipeline.signaling.messages import dump

RECORDING = Path(__file__).parents[1] / "audio" / "booking" / "03-yes.wav"
KEY = "the-callers-key"


class ScriptedGateway:
    """Takes calls in a thread of its own, so that the command under test can have the main one."""

    def __init__(self, end: EndReason = EndReason.AGENT_HANGUP, *, answers: bool = True) -> None:
        self.end = end
        self.answers = answers
        self.port = 0
        self.starts: list[CallStart] = []
        self.news: list[str] = []  # told while it rings
        self.left = False
        self.talking = threading.Event()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedGateway:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self._call, "127.0.0.1", 0, process_request=self._admit) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != "/call/desk":
            return connection.respond(HTTPStatus.NOT_FOUND, "no such agent\n")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no such key\n")
        return None

    async def _call(self, socket: ServerConnection) -> None:
        start = parse_caller_event(await socket.recv())
        assert isinstance(start, CallStart)
        self.starts.append(start)
        await socket.send(dump(Ringing(call_id="c1")))
        for told in self.news:
            await socket.send(told)
        if not self.answers:
            await socket.send(dump(LegEnded(reason=EndReason.NO_AGENT, detail="nobody is connected")))
            return
        await socket.send(dump(Answered()))
        bot = asyncio.ensure_future(self._bot(socket, start.rate))
        heard = 0
        silent = 0
        async for message in socket:
            if isinstance(message, str):
                assert isinstance(parse_caller_event(message), Leave)
                self.left = True
                bot.cancel()
                await socket.send(dump(LegEnded(reason=EndReason.CALLER_HANGUP)))
                return
            loud = np.abs(np.frombuffer(message, "<i2").astype(int)).max() > 1000
            heard += int(loud)
            silent = 0 if loud else silent + 1
            if heard > 10 and silent == 30:
                await bot
                await self._answer(socket, start.rate)
                return

    async def _bot(self, socket: ServerConnection, rate: int) -> None:
        await self._speak(socket, rate, "Good evening.")
        self.talking.set()

    async def _answer(self, socket: ServerConnection, rate: int) -> None:
        await self._tell(socket, "user_turn", {"text": "yes please"})
        await self._tell(socket, "tool", {"name": "book_table", "arguments": {"people": 4}})
        await self._speak(socket, rate, "Booked.")
        await socket.send(dump(LegEnded(reason=self.end, detail="")))

    async def _speak(self, socket: ServerConnection, rate: int, text: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        frame = np.full(rate // 50, 6000, "<i2").tobytes()
        for n in range(15):
            await asyncio.sleep(max(0.0, began + n * 0.02 - loop.time()))  # the gateway's playout clock
            await socket.send(frame)
        await self._tell(socket, "bot_turn", {"text": text, "interrupted": False})

    async def _tell(self, socket: ServerConnection, name: Any, data: dict[str, Any]) -> None:
        await socket.send(dump(Conversation(at=0.0, name=name, data=data)))


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIOPIY_CREDENTIALS", str(tmp_path / "credentials"))
    for name in ("PIOPIY_URL", "PIOPIY_CALLER_KEY", "AGENT_ID"):
        monkeypatch.delenv(name, raising=False)


def place(gateway: ScriptedGateway, *arguments: str | Path) -> int:
    target = ["--url", gateway.url, "--agent", "desk", "--key", KEY, "--timeout", "30"]
    return main(["call", *map(str, arguments), *target])


@pytest.mark.realtime
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_call_is_told_line_by_line_and_saved_in_stereo(
    gateway: ScriptedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: int
) -> None:
    """Real time: the caller's frames are a clock, and the file shows whether it kept it."""
    out = tmp_path / "call.wav"
    status = place(
        gateway, RECORDING, "--json", "--rate", str(rate), "--out", out,
        "--from", "+4930", "--to", "100", "--metadata", '{"table": 7}',
    )  # fmt: skip
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["event"] for line in lines] == [
        "ringing", "answered", "bot", "user", "tool", "turn", "bot", "ended",
    ]  # fmt: skip
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    reported = {line["event"]: line for line in lines}
    assert reported["user"]["text"] == "yes please"
    assert reported["tool"] == {
        "event": "tool",
        "at": reported["tool"]["at"],
        "name": "book_table",
        "arguments": {"people": 4},
    }
    assert reported["ended"]["reason"] == "agent_hangup"
    assert gateway.starts == [
        CallStart(
            rate=8000 if rate == 8000 else 16000, from_number="+4930", to_number="100", metadata={"table": 7}
        )
    ]
    # 30 silent frames: what the bot waited for. The recording must show the same latency.
    latency = reported["turn"]["voice_to_voice_ms"]
    assert 500 < latency < 2000
    sound, saved_rate = soundfile.read(out, dtype="int16")
    assert saved_rate == rate
    caller_end = np.flatnonzero(np.abs(sound[:, 0].astype(int)) > 300)[-1]
    answer = np.flatnonzero(np.abs(sound[:, 1].astype(int)) > 3000)
    answer_start = answer[answer > caller_end][0]
    assert (answer_start - caller_end) / rate * 1000 == pytest.approx(latency, abs=60)


@pytest.mark.realtime
def test_people_read_the_conversation_its_latency_and_a_summary(
    gateway: ScriptedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real time: a call takes as long as it takes."""
    assert place(gateway, RECORDING) == 0
    out = capsys.readouterr().out
    for expected in (
        "calling desk",
        "bot  Good evening.",
        "you  yes please",
        "book_table(people=4)",
        "voice to voice",
    ):
        assert expected in out
    assert out.splitlines()[-1].startswith(
        "ended: agent_hangup (the bot hung up) · 1 turn · voice to voice median"
    )


@pytest.mark.realtime
def test_ctrl_c_hangs_up_as_a_caller_does(gateway: ScriptedGateway) -> None:
    """Real time, and a process of its own: a signal goes to a process."""
    command = [sys.executable, "-m", "piopiy_pipeline.cli", "call", "--json"]
    environment = {**os.environ, "PIOPIY_URL": gateway.url, "AGENT_ID": "desk", "PIOPIY_CALLER_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert gateway.talking.wait(20)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert gateway.left
    assert json.loads(out.splitlines()[-1])["reason"] == "caller_hangup"


def test_a_call_that_nobody_answers_fails_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedGateway(answers=False) as gateway:
        assert place(gateway, "--json") == 1
    printed = capsys.readouterr()
    assert printed.err == "piopiy: the call was not answered (no_agent: nobody is connected)\n"
    assert json.loads(printed.out.splitlines()[-1])["reason"] == "no_agent"


def test_what_a_newer_gateway_tells_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedGateway(answers=False) as gateway:
        gateway.news = [
            '{"event": "conversation", "at": 1.0, "name": "mood", "data": {"mood": "calm"}}',
            '{"event": "weather", "rain": true}',
        ]
        assert place(gateway, "--json") == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["reason"] == "no_agent"


@pytest.mark.realtime
def test_a_call_that_ends_with_an_error_fails_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Real time: a call takes as long as it takes."""
    with ScriptedGateway(EndReason.ERROR) as gateway:
        assert place(gateway, RECORDING) == 1
    assert capsys.readouterr().err == (
        "piopiy: the call ended with error; "
        "the gateway tells callers no more: its log and the record of the call say why\n"
    )


def test_a_refused_key_and_an_unknown_agent_say_so(
    gateway: ScriptedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", "--url", gateway.url, "--agent", "desk", "--key", "wrong", "--json"]) == 1
    printed = capsys.readouterr()
    assert "refused the caller's key (401: no such key)" in printed.err
    assert json.loads(printed.out)["event"] == "ended"
    assert "wrong" not in printed.err + printed.out
    assert main(["call", "--url", gateway.url, "--agent", "bar", "--key", KEY]) == 1
    assert "/call/bar" in capsys.readouterr().err


def test_a_call_that_cannot_be_dialled_leaves_an_older_recording_and_no_new_one(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    older, new = tmp_path / "older.wav", tmp_path / "new.wav"
    older.write_bytes(b"the call of yesterday")
    arguments = ["call", "--url", gateway.url, "--agent", "desk", "--key", "wrong"]
    for out in (older, new):
        assert main([*arguments, "--out", str(out)]) == 1
    assert older.read_bytes() == b"the call of yesterday"
    assert not new.exists()


def test_a_call_that_ends_before_the_answer_leaves_an_older_recording_and_no_new_one(tmp_path: Path) -> None:
    older, new = tmp_path / "older.wav", tmp_path / "new.wav"
    older.write_bytes(b"the call of yesterday")
    for out in (older, new):
        with ScriptedGateway(answers=False) as gateway:
            assert place(gateway, "--out", out) == 1
    assert older.read_bytes() == b"the call of yesterday"
    assert not new.exists()


def test_no_gateway_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], unused_port: int
) -> None:
    assert main(["call", "--url", f"ws://127.0.0.1:{unused_port}", "--agent", "a", "--key", "k"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "no gateway at" in err
    assert "piopiy dev" in err


def test_without_a_gateway_nothing_is_loaded_that_only_a_call_needs(unused_port: int) -> None:
    url = f"ws://127.0.0.1:{unused_port}"
    check = (
        "import sys; from piopiy_pipeline.cli import main;"
        f"status = main(['call', '--say', 'Hello', '--url', '{url}', '--agent', 'a', '--key', 'k']);"
        "heavy = {'pipecat', 'onnxruntime', 'numpy', 'soundfile', 'websockets'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert f"no gateway at {url}" in done.stderr


def test_the_longest_metadata_fit_into_the_first_event() -> None:
    longest = json.dumps({"a": "x" * (METADATA_BYTES - len('{"a": ""}'))})
    start = CallStart(
        rate=16000, from_number="+" + "4" * 128, to_number="1" * 128, metadata=given_metadata(longest)
    )
    assert len(dump(start)) < MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["letter.wav"], "letter.wav: not a WAV file"),
        (["none.wav"], "none.wav: no such file"),
        (["silent.wav"], "nothing but silence"),
        (["--rate", "44100"], "--rate 44100"),
        (["--rate", "fast"], "--rate"),
        (["--interrupt", "-1"], "--interrupt -1"),
        (["--timeout", "nan"], "--timeout nan"),
        (["--metadata", "{"], "--metadata is no JSON"),
        (["--metadata", '{"n": NaN}'], "--metadata is no JSON: NaN is no number of JSON"),
        (["--metadata", '{"n": 1e999}'], "--metadata is no JSON: 1e999 is too large a number"),
        (["--metadata", "[1]"], "must be a JSON object"),
        (
            ["--metadata", json.dumps({"a": "x" * 70_000})],
            "--metadata has 70009 bytes as JSON: 61440 are the limit",
        ),
        (["--from", ""], "--from '': it is a number, such as +4930123456, or"),
        (["--from", "+49 30 1"], "--from '+49 30 1': it is a number"),
        (["--to", "-5"], "--to '-5': it is a number"),
        (["--url", "gateway"], "not a gateway's address"),
        (["--url", "ws://host:port"], "not a gateway's address"),
        (["--url", "ws://me:secret@host"], "holds no credentials"),
        (["--url", "wss://far.example"], "give the caller's key"),
        (["--say", " "], "nothing to say"),
        (["--out", "no/folder/call.wav"], "cannot be written"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    gateway: ScriptedGateway,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("letter.wav").write_text("Dear caller,")
    soundfile.write("silent.wav", np.zeros(16000, np.int16), 16000)
    if "--url" not in arguments:
        arguments = [*arguments, "--url", gateway.url, "--key", "k", "--agent", "a"]
    assert main(["call", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert "secret" not in printed.err


@pytest.mark.parametrize("number", [-2, 1])
def test_a_gateway_that_cannot_be_reached_is_told_in_words_that_mean_it(number: int) -> None:
    """Neither the number of a name that is not found nor that of TLS is one of the system's errors."""
    error = socket.gaierror(-2, "not known") if number < 0 else ssl.SSLError(1, "wrong version number")
    said = str(no_gateway(Target("wss://voice.example", "desk", "key"), error))
    assert ("(not known)" if number < 0 else "wrong version number") in said


def test_without_a_key_the_one_of_piopiy_dev_is_missed(
    capsys: pytest.CaptureFixture[str], unused_port: int
) -> None:
    assert main(["call", "--url", f"http://localhost:{unused_port}/"]) == 2
    assert f"no `piopiy dev` is running on port {unused_port}" in capsys.readouterr().err


def test_help_is_there_without_loading_what_a_call_needs() -> None:
    check = (
        "import sys; from piopiy_pipeline.cli import main; main(['call', '--help']);"
        "heavy = {'pipecat', 'onnxruntime', 'numpy', 'soundfile', 'websockets'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--interrupt" in done.stdout
