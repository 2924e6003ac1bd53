"""The gallery: each example does what its first lines promise.

Bots are called in virtual time. What needs a browser, a telephone or a carrier's socket is in real time, because
those know no other.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from playwright.async_api import Page

from examples import (
    booking_flow,
    carrier_stream,
    front_desk,
    multilingual,
    outbound_call,
    own_provider,
    own_turns,
    web_page,
)
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.testing import Caller, SimulatedCall, simulate
from tests.support.browser import chromium, listen, open_page, speech_s, spoken
from tests.support.calls import AUDIO, eventually, house
from tests.support.phone_calls import phone_of

EXAMPLES = Path(__file__).parents[2] / "examples"
BEEP = [
    sys.executable,
    "-c",
    "import io, sys, wave, math, struct\n"
    "out = io.BytesIO()\n"
    "with wave.open(out, 'wb') as wav:\n"
    "    wav.setnchannels(1); wav.setsampwidth(2); wav.setframerate(22050)\n"
    "    wav.writeframes(b''.join(struct.pack('<h', int(9000 * math.sin(i / 9))) for i in range(22050)))\n"
    "sys.stdout.buffer.write(out.getvalue())",
]


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "LLM_BASE_URL", "GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(front_desk, "BOOKINGS", tmp_path / "bookings.jsonl")


def call(example: str, caller: Caller, **more: object) -> SimulatedCall:
    return simulate(EXAMPLES / f"{example}.py", caller, **more)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- transfer


def test_a_key_puts_the_caller_through() -> None:
    caller = Caller().pause(6).press("1").pause(20)
    call_ = call("transfer", caller, transfers={"+4930123457": ("bridged", 4)})
    call_.assert_transferred(to="+4930123457")
    call_.assert_ended(EndReason.TRANSFERRED)


def test_whoever_does_not_answer_is_told_of_and_the_caller_goes_on_talking() -> None:
    caller = Caller().pause(6).press("2").pause(15).say(AUDIO / "hours/01-open.wav").pause(6)
    call_ = call("transfer", caller, transfers={"+4930123456": ("no_answer", 5)})
    call_.assert_said("billing does not answer just now")
    call_.assert_said("open from Tuesday")


def test_a_second_key_does_not_call_off_what_the_first_one_has_begun() -> None:
    caller = Caller().pause(6).press("1").pause(5).press("2").pause(25)
    call_ = call("transfer", caller, transfers={"+4930123457": ("no_answer", 12)})
    call_.assert_said("calling sales already")
    assert call_.said.count("does not answer just now") == 1
    assert "billing does not answer" not in call_.said


# ---------------------------------------------------------------------- a flow


def test_a_booking_that_was_found_is_changed_and_not_made_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking_flow, "BOOKINGS", {"4711": (2, "Friday at seven")})
    manager: Any = SimpleNamespace(state={})

    async def scenario() -> list[object]:
        results = [
            await booking_flow.find_booking(manager, "4711"),
            await booking_flow.set_people(manager, 4),
            await booking_flow.set_time(manager, "next monday", "eight"),
            await booking_flow.set_time(manager, "Sunday", "eight"),
            await booking_flow.book(manager),
        ]
        return [result for result, _ in results]

    found, _, monday, sunday, _ = asyncio.run(scenario())
    assert (found, monday, sunday) == ({"found": True}, {"free": False}, {"free": True})
    assert booking_flow.BOOKINGS == {"4711": (4, "Sunday at eight")}
    manager.state = {"people": 2, "when": "Friday at six"}
    asyncio.run(booking_flow.book(manager))
    assert booking_flow.BOOKINGS["4712"] == (2, "Friday at six")


# ---------------------------------------------------------------------- values


def test_a_number_is_pressed_a_day_is_said_and_no_mail_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    yes = AUDIO / "booking/03-yes.wav"
    caller = (
        Caller()
        .until("reach you on")
        .pause(0.5)
        .press("4152718293#")
        .until("Is that right")
        .pause(0.5)
        .press("1")
    )
    caller = caller.until("which day").pause(0.5).press("24122030").until("Is that right").say(yes)
    call_ = call("call_back", caller.until("e-mail").pause(0.5).press("2").pause(10))
    assert "call +14152718293 on 2030-12-24, None" in capsys.readouterr().out
    call_.assert_said("call you on Tuesday")
    call_.assert_ended(EndReason.AGENT_HANGUP)


# ---------------------------------------------------------------------- languages


@pytest.mark.parametrize(("number", "key"), [("+4930123", "2"), ("+33140", "3"), ("+1555", "1"), (None, "1")])
def test_the_number_suggests_a_language(number: str | None, key: str) -> None:
    assert multilingual.language_of(number) == key


def test_a_key_changes_voice_and_language(capsys: pytest.CaptureFixture[str]) -> None:
    call_ = call(
        "multilingual", Caller().pause(2).press("2").pause(5).press("9").pause(2).press("3").pause(5)
    )
    call_.assert_said("Wir sprechen jetzt Deutsch")
    call_.assert_said("Nous parlons français")
    languages = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert languages == ["German", "French"]


# ---------------------------------------------------------------------- turns


def test_the_word_over_ends_the_turn_at_once_and_a_pause_does_not() -> None:
    said = (
        Caller().pause(5).say("When are you open? Over.").pause(8).say(AUDIO / "hours/01-open.wav").pause(8)
    )
    waits = [
        turn.answered_at - turn.spoke_until
        for turn in call("own_turns", said).turns
        if turn.user and turn.answered_at is not None
    ]
    at_once, waited = waits
    assert at_once < 1.2 < 2.0 < waited


@pytest.mark.parametrize(
    ("said", "over"),
    [("we are open. Over.", True), ("OVER", True), ("We come from Dover.", False), ("moreover", False)],
)
def test_over_is_a_word_of_its_own(said: str, over: bool) -> None:
    assert bool(own_turns.OVER.search(said)) is over


# ---------------------------------------------------------------------- own provider


@pytest.mark.realtime
def test_a_command_is_the_voice() -> None:
    async def scenario() -> bytes:
        return b"".join([pcm async for pcm in own_provider.spoken(shlex.join(BEEP), "Good day.", 16000)])

    pcm = np.frombuffer(asyncio.run(scenario()), np.int16)
    assert pcm.size == pytest.approx(16000, abs=400), "a second, at the pipeline's rate"
    assert np.abs(pcm).max() > 5000


@pytest.mark.realtime
def test_a_text_is_never_an_option_of_the_command() -> None:
    shown = [sys.executable, "-c", "import sys; assert not sys.argv[1].startswith('-')\n" + BEEP[2]]

    async def scenario() -> bytes:
        said = own_provider.spoken(shlex.join(shown), "-5 degrees.", 16000)
        return b"".join([pcm async for pcm in said])

    assert len(asyncio.run(scenario())) > 16000


@pytest.mark.realtime
@pytest.mark.parametrize("command", ["false", "there-is-no-such-command", "echo This is no sound but text,"])
def test_a_command_that_says_nothing_is_an_error_of_the_provider(command: str) -> None:
    async def scenario() -> list[str]:
        voice = own_provider.CommandTTSService(command)
        return [getattr(frame, "error", "") async for frame in voice.run_tts("Good day.", "one")]

    (error,) = asyncio.run(scenario())
    assert error.startswith(f"{command}: ")


# ---------------------------------------------------------------------- a carrier


@pytest.mark.realtime
@pytest.mark.main_job
def test_a_carriers_stream_books_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wavs = [AUDIO / "booking" / f"{name}.wav" for name in ("01-people", "02-when", "03-yes", "04-goodbye")]
    asyncio.run(carrier_stream.main(wavs))
    assert "+15550100 called +15550199: agent_hangup" in capsys.readouterr().out
    (booking,) = map(json.loads, (tmp_path / "bookings.jsonl").read_text().splitlines())
    assert (booking["people"], booking["day"], booking["time"]) == (4, "Friday", "19:00")
    assert (tmp_path / "heard.wav").stat().st_size > 100_000


@pytest.mark.parametrize("name", ["missing.wav", "text.wav"])
def test_a_recording_that_cannot_be_read_is_named_before_anybody_calls(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(SystemExit, match=name):
        asyncio.run(carrier_stream.main([AUDIO / "booking/01-people.wav", tmp_path / name]))


# ---------------------------------------------------------------------- a telephone


def test_a_reminder_without_an_order_has_an_example_in_it() -> None:
    call_ = call("outbound_call", Caller().pause(20))
    call_.assert_said("Your table is for Friday at seven")
    assert "None" not in call_.said


@pytest.mark.realtime
def test_the_gateway_calls_a_phone_and_tells_how_it_went() -> None:
    async def scenario() -> tuple[int, dict[str, object]]:
        sip = {"port": 0, "users": {"alice": "secret"}}
        async with (
            house(outbound_call.on_new_session, sip=sip, console="open", offer_ms=5000) as place,
            phone_of(place.gateway, account=";answermode=auto"),
        ):
            await place.gateway.ready()
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, str(EXAMPLES / "outbound_call.py"), "alice", "--agent", "test-agent"),
                *("--gateway", place.gateway.console_url.rstrip("/"), "--name", "Ann"),
                stdout=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(40):
                out, _ = await program.communicate()
            assert program.returncode is not None
            return program.returncode, json.loads(out)

    status, record = asyncio.run(scenario())
    assert (status, record["reason"]) == (0, "agent_hangup")


@pytest.mark.realtime
def test_an_order_that_the_gateway_refuses_is_told_in_its_words() -> None:
    async def scenario() -> tuple[int | None, str]:
        async with Gateway(
            GatewayConfig(port=0, agents={"a": "token"}, console="open", records=False)
        ) as gateway:
            await gateway.ready()
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, str(EXAMPLES / "outbound_call.py"), "alice", "--agent", "a"),
                *("--gateway", gateway.console_url.rstrip("/")),
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(40):
                _, said = await program.communicate()
            return program.returncode, said.decode()

    status, said = asyncio.run(scenario())
    assert status == 1
    assert "the gateway refuses: no instance of agent 'a'" in said
    assert "Traceback" not in said


# ---------------------------------------------------------------------- a web page


@asynccontextmanager
async def visited(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Page, httpx.AsyncClient]]:
    """The page in a browser, and a client of the gateway's API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(web_page, "ORIGIN", f"http://127.0.0.1:{port}")
    async with web_page.everything() as (url, api_key):
        app = web_page.build_app(url, api_key)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        try:
            microphone = spoken(folder / "microphone.wav", 5.0, "hours/01-open.wav")
            await eventually(lambda: server.started)
            key = {"Authorization": f"Bearer {api_key}"}
            async with (
                httpx.AsyncClient(base_url=url, headers=key, trust_env=False) as api,
                chromium(microphone) as browser,
            ):
                yield await open_page(browser, f"http://127.0.0.1:{port}"), api
        finally:
            server.should_exit = True
            await serving


async def shows(page: Page, state: str) -> None:
    await page.wait_for_function(f"document.getElementById('state').textContent === {json.dumps(state)}")


@pytest.mark.realtime
def test_a_visitor_of_the_page_talks_to_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> str | None:
        async with visited(tmp_path, monkeypatch) as (page, _):
            await page.click("#call")
            await shows(page, "connected")
            async with asyncio.timeout(30):
                while speech_s((await listen(page)).bot) < 4.0:  # the greeting alone is shorter
                    await page.wait_for_timeout(250)
            label = await page.text_content("#call")
            await page.click("#call")
            await shows(page, "")
            return label

    assert asyncio.run(scenario()) == "Hang up"


NOTE_MICROPHONES = """() => {
  const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.microphones = [];
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await get(wanted);
    window.microphones.push(stream.getAudioTracks()[0]);
    return stream;
  };
}"""


@pytest.mark.realtime
def test_a_visitor_who_clicks_twice_has_one_call_and_no_microphone_when_the_bot_hangs_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> tuple[int, list[str], str | None]:
        async with visited(tmp_path, monkeypatch) as (page, api):
            await page.evaluate(NOTE_MICROPHONES)
            await page.evaluate("() => { const b = document.getElementById('call'); b.click(); b.click(); }")
            await page.wait_for_function("document.getElementById('call').textContent === 'Hang up'")
            await shows(page, "connected")
            calls = (await api.get("/api/calls")).json()["calls"]
            for each in calls:
                (await api.post(f"/api/calls/{each['call_id']}/hangup")).raise_for_status()
            await shows(page, "The call has ended.")
            tracks = await page.evaluate("microphones.map((track) => track.readyState)")
            return len(calls), tracks, await page.text_content("#call")

    assert asyncio.run(scenario()) == (1, ["ended"], "Call")


@pytest.mark.realtime
def test_a_visitor_whom_nobody_can_take_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> str | None:
        async with visited(tmp_path, monkeypatch) as (page, _):
            monkeypatch.setattr(web_page, "AGENT_ID", "nobody")
            await page.click("#call")
            await shows(page, "Nobody can be called just now. Please try again later.")
            return await page.text_content("#call")

    assert asyncio.run(scenario()) == "Call"


# ---------------------------------------------------------------------- speech to speech


def test_a_model_that_speaks_itself_takes_a_call_without_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    call_ = call("speech_to_speech", Caller().say(AUDIO / "booking/01-people.wav"))
    call_.assert_ended(EndReason.CALLER_HANGUP)
    printed = capsys.readouterr().out
    assert "bot: Olive and Thyme, good day. How can I help you?" in printed
    assert "bot: For how many people, and when?" in printed
