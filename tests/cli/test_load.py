"""`piopiy load` as a process of its own, against a real gateway with a real agent whose bot follows a script."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline import testing
from piopiy_pipeline.cli import main
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import LONG
from tests.support.calls import AGENT_ID, AUDIO, KEY, House, eventually, house
from tests.support.programs import Program
from tests.support.services import ScriptedSTT, ToneTTS

TURN = AUDIO / "booking" / "01-people.wav"
PATIENCE_S = 100.0


class AnsweringBot:
    """A bot that answers whatever it hears, `latency_s` after it was asked."""

    def __init__(self, latency_s: float = 0.0, *, greeting: str = "Hello.") -> None:
        self._latency_s, self._greeting = latency_s, greeting

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", call=call, greeting=self._greeting, filler=None, idle=False
        )
        replies = testing.Replies(
            otherwise=lambda _: "Your table is booked, and it is by the window.", latency=self._latency_s
        )
        await agent.Action(
            stt=ScriptedSTT(["a table for four on Friday please"] * 9),
            llm=testing.ScriptedLLM(replies),
            tts=ToneTTS(),
            eager=False,
        )
        await agent.start()


@asynccontextmanager
async def loading(
    place: House, *arguments: object, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Run the command against a gateway."""
    process = await Program.start(
        *("-m", "piopiy_pipeline.cli", "load", place.gateway.url, "--wav", str(TURN)),
        *map(str, arguments),
        environment={
            **os.environ,
            "AGENT_ID": AGENT_ID,
            "PIOPIY_CALLER_KEY": KEY,
            "PIOPIY_API_KEY": "operator",
            **(environ or {}),
        },
    )
    try:
        yield process
    finally:
        await process.close()


async def results(process: Program) -> tuple[int, dict[str, Any]]:
    """Return the exit status, and the JSON object that is the last line."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode is not None
    lines = out.decode().splitlines()
    assert lines, err.decode()
    found: dict[str, Any] = json.loads(lines[-1])
    return process.returncode, found


@pytest.mark.realtime
def test_callers_of_every_kind_are_answered_and_the_page_stands_alone(tmp_path: Path) -> None:
    """Real time: telephones and browsers have clocks of their own."""

    async def scenario() -> None:
        page = tmp_path / "report.html"
        settings: dict[str, Any] = {
            "webrtc_workers": 1,
            "webrtc_addresses": ["127.0.0.1"],
            "api_keys": ["operator"],
            "sip": {"port": 0, "callers": "anyone", "default_agent": AGENT_ID},
        }
        async with house(AnsweringBot(greeting=LONG), **settings) as place:
            assert place.gateway.phones is not None
            await place.gateway.ready()
            sip = f"sip:{AGENT_ID}@127.0.0.1:{place.gateway.phones.port}"
            options = ("--calls", 6, "--kinds", "stream,sip,webrtc", "--sip", sip, "--interrupt", 0.5)
            async with loading(
                place, *options, "--hangup-after", 0.5, "--json", "--html", page, "--fail-if", "failed>0"
            ) as process:
                status, found = await results(process)
        assert (status, found["failures"], found["passed"]) == (0, {}, True)
        assert found["thresholds"] == [{"fail_if": "failed>0", "value": 0, "failed": False}]
        for kind in ("stream", "sip", "webrtc"):
            measured = found["by_kind"][kind]
            assert (measured["begun"], measured["answered"], measured["turns"]) == (2, 2, 2), kind
            assert measured["voice_to_voice_ms"]["count"] == 2, kind
            assert measured["voice_to_voice_ms"]["p50"] > 0, kind
            assert measured["barge_in_ms"]["count"] == 2, kind
        assert measured["answer_ms"]["p99"] >= measured["answer_ms"]["p50"] > 0, kind
        assert found["load_generator"]["late_ms"]["count"] > 100
        html = page.read_text()
        assert not re.search(r"(src|href)=|url\(|@import", html), "nothing is loaded from elsewhere"
        assert html.count('<svg class="plot"') == 6
        assert KEY not in html

    asyncio.run(scenario())


@pytest.mark.realtime
def test_a_slow_bot_is_seen_in_the_percentiles_and_fails_the_threshold() -> None:
    """Real time: the planted two seconds are a lower bound on any machine."""

    async def scenario() -> None:
        async with (
            house(AnsweringBot(latency_s=2.0)) as place,
            loading(
                place,
                "--calls",
                3,
                "--hangup-after",
                0.5,
                "--json",
                "--fail-if",
                "voice_to_voice_ms.p50>2000",
            ) as process,
        ):
            status, found = await results(process)
        assert status == 1
        assert found["voice_to_voice_ms"]["count"] == 3
        assert found["voice_to_voice_ms"]["p50"] > 2000
        assert (found["passed"], found["thresholds"][0]["failed"]) == (False, True)

    asyncio.run(scenario())


@pytest.mark.realtime
def test_ctrl_c_hangs_up_every_call_and_still_reports() -> None:
    """Real time, because a signal goes to a process."""

    async def scenario() -> None:
        async with (
            house(AnsweringBot()) as place,
            loading(place, "--calls", 4, "--per-second", 50, "--duration", 600, "--json") as process,
        ):

            def talking() -> int:
                return sum(
                    call.answered_at is not None for call in place.gateway.switchboard.snapshot().calls
                )

            await eventually(lambda: talking() == 4, 40.0)
            process.send_signal(signal.SIGINT)
            status, found = await results(process)
            await eventually(lambda: not place.gateway.switchboard.snapshot().calls, 10.0)
            reasons = {str(call.reason) for call in place.ended()}
        assert status == 130
        assert (found["stopped"], found["answered"], found["failed"]) == (True, 4, 0)
        assert reasons == {"caller_hangup"}

    asyncio.run(scenario())


@pytest.mark.realtime
@pytest.mark.parametrize(("password", "failed"), [("her password", 0), ("another", 2)])
def test_telephones_call_with_a_password_where_the_gateway_asks_for_one(password: str, failed: int) -> None:
    """Real time: telephones have a clock of their own."""

    async def scenario() -> dict[str, Any]:
        sip = {"port": 0, "users": {"anna": "her password"}, "default_agent": AGENT_ID}
        async with house(AnsweringBot(), sip=sip) as place:
            assert place.gateway.phones is not None
            options = ("--calls", 2, "--kinds", "sip", "--sip-user", "anna", "--hangup-after", 0.5, "--json")
            address = f"sip:desk@127.0.0.1:{place.gateway.phones.port}"
            environ = {"PIOPIY_SIP_PASSWORD": password}
            async with loading(place, *options, "--sip", address, environ=environ) as process:
                _, found = await results(process)
                return found

    found = asyncio.run(scenario())
    assert (found["answered"], found["failed"]) == (2 - failed, failed)
    assert sum(found["failures"].values()) == failed
    assert all("look at --sip-user anna and PIOPIY_SIP_PASSWORD" in reason for reason in found["failures"])
    assert all("40" in reason for reason in found["failures"]), "401 or 403"


@pytest.mark.realtime
def test_calls_without_a_place_are_failures_with_their_reason() -> None:
    """Real time: a caller rings for a while before they are told that all are busy."""

    async def scenario() -> None:
        async with (
            house(AnsweringBot(), capacity=1) as place,
            loading(place, "--calls", 3, "--per-second", 50, "--hangup-after", 6) as process,
        ):
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 1
        assert "failed: 2 of 3 calls failed, and more than 5% are too many" in err.decode()
        printed = out.decode()
        assert "1 answered, 2 failed" in printed
        assert re.search(r"2 x the call was not answered \(busy", printed)

    asyncio.run(scenario())


def test_a_host_that_is_not_this_machine_is_refused_until_it_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    far = ["load", "wss://voice.example.org", "--agent", "a", "--key", "k", "--calls", "40"]
    assert main(far) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "40 callers at a time take its agents' places from real ones" in said
    assert "--may-load voice.example.org" in said
    near = ["load", "ws://127.0.0.1:1", "--agent", "a", "--key", "k", "--kinds", "sip"]
    assert main([*near, "--sip", "sip:desk@192.0.2.7"]) == 2
    assert "--may-load 192.0.2.7" in capsys.readouterr().err
    assert main([*far, "--may-load", "voice.example.com"]) == 2, "another name is no permission"


def test_more_callers_than_files_may_be_open_are_refused_before_anybody_calls() -> None:
    command = ["load", "ws://127.0.0.1:1", "--agent", "a", "--key", "k", "--calls", "300"]
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500));"
        f"from piopiy_pipeline.cli import main; sys.exit(main({command!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert "--calls 300: they may need 1300 open files, and this process may have 500" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calls", "0"], "--calls"),
        (["--per-second", "0"], "--per-second 0"),
        (["--duration", "-1"], "--duration -1"),
        (["--kinds", "stream,fax"], "each is one of stream, sip, webrtc"),
        (["--kinds", "sip", "--sip", "desk"], "--sip desk"),
        (["--kinds", "sip", "--sip-user", "anna"], "PIOPIY_SIP_PASSWORD"),
        (["--fail-if", "voice_to_voice.p95>1"], "there is no voice_to_voice"),
        (["--html", "no/folder/report.html"], "cannot be written"),
        (["--wav", "none.wav"], "no such file"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["load", "ws://127.0.0.1:1", "--agent", "a", "--key", "k", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_no_gateway_is_told_at_once_and_nobody_calls(unused_port: int) -> None:

    async def scenario() -> None:
        command = ("load", f"ws://127.0.0.1:{unused_port}", "--agent", "a", "--key", "k", "--calls", "2")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "piopiy_pipeline.cli", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, told = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 1
        assert out == b""
        assert f"no gateway at ws://127.0.0.1:{unused_port}" in told.decode()
        assert told.count(b"\n") == 1

    asyncio.run(scenario())
