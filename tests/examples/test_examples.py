"""The examples, each from its own file: called in virtual time, and as the programs that they are.

What is marked runs in real time, because a program is a process of its own and a gateway is called over sockets.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.place_call import place_call
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.cli.turns import load_script
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.signaling.caller import CallStart
from piopiy_pipeline.testing import (
    Caller,
    Habits,
    Providers,
    SimulatedCall,
    Transcripts,
    Upstream,
    run_stage,
    simulate,
)
from tests.support.calls import AUDIO, CallLog, eventually
from tests.support.programs import Program
from tests.support.scripted_bot import words_of
from tests.support.virtual import texts

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "caller-key"


@asynccontextmanager
async def running(example: str, folder: Path) -> AsyncIterator[tuple[Target, list[str]]]:
    """The example behind a gateway, and the lines that it prints."""
    config = GatewayConfig(
        port=0,
        agents={example: "token"},
        caller_keys=[KEY],
        callers_may_watch=True,
        records=False,
        webrtc_workers=0,
    )
    async with Gateway(config) as gateway:
        own = {
            "AGENT_ID": example,
            "AGENT_TOKEN": "token",
            "PIOPIY_URL": gateway.url,
        }
        path = str(EXAMPLES / f"{example}.py")
        bot = await Program.start(path, environment={**os.environ, **own}, folder=folder)
        assert bot.stderr is not None
        printed: list[str] = []

        async def read(stream: asyncio.StreamReader) -> None:
            while line := await stream.readline():
                printed.append(line.decode().rstrip())

        reading = asyncio.gather(read(bot.stdout), read(bot.stderr))
        try:
            await gateway.wait_for_agent(example, 60)
            yield Target(gateway.url, example, KEY), printed
        finally:
            bot.terminate()
            await asyncio.wait_for(bot.wait(), 20)
            await reading
            await bot.close()


async def call(target: Target, *wavs: str, rate: int = 16000, say: tuple[str, ...] = ()) -> CallLog:
    log = CallLog(rate)
    caller = load_script([AUDIO / wav for wav in wavs], say, rate, habits=Habits(hangup_after_s=5))
    start = CallStart.model_validate({"rate": rate, "from_number": "+15550100"})

    def tell(link: GatewayLink) -> None:
        log.reports += link.take_reports()

    log.outcome = await place_call(target, caller, start, tell=tell)
    return log


BOOKING = tuple(f"booking/{name}.wav" for name in ("01-people", "02-when", "03-yes", "04-goodbye"))


@pytest.mark.realtime
def test_the_front_desk_takes_a_booking_from_two_callers_at_once(tmp_path: Path) -> None:
    async def scenario() -> tuple[CallLog, CallLog]:
        async with running("front_desk", tmp_path) as (target, _):
            wide, telephone = await asyncio.gather(call(target, *BOOKING), call(target, *BOOKING, rate=8000))
            return wide, telephone

    for log in asyncio.run(scenario()):
        tools = [tool for tool in log.of("tool") if tool["name"] == "book_table"]
        assert [tool["arguments"] for tool in tools] == [{"people": 4, "day": "Friday", "time": "19:00"}]
        assert any("booked" in text for text in log.texts("bot")), log.texts("bot")
        assert log.reason is EndReason.AGENT_HANGUP
    bookings = [json.loads(line) for line in (tmp_path / "bookings.jsonl").read_text().splitlines()]
    assert len({booking["call_id"] for booking in bookings}) == 2
    assert all(booking["people"] == 4 and booking["from"] == "+15550100" for booking in bookings)


@pytest.mark.realtime
@pytest.mark.parametrize(
    "example",
    [
        "ten_lines",
        "mask_digits",
        "own_chain",
        "own_turns",
        "own_provider",
        "transfer",
        "multilingual",
        "outbound_call",
    ],
)
def test_each_example_loads_its_models_and_serves_its_agent_until_it_is_told_to_end(
    tmp_path: Path, example: str
) -> None:
    async def scenario() -> None:
        async with running(example, tmp_path) as (_, printed):
            # It has connected, so the first caller waits for no model; what comes next ends it.
            await eventually(lambda: any("loaded in" in line for line in printed))

    asyncio.run(scenario())


def told(example: str, caller: Caller, capsys: pytest.CaptureFixture[str]) -> tuple[SimulatedCall, list[str]]:
    """A call to an example in virtual time, and the lines that it printed."""
    capsys.readouterr()
    call = simulate(EXAMPLES / f"{example}.py", caller)
    return call, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("rate", "by"), [(8000, "voice"), (16000, "voice"), (16000, "text")])
def test_the_front_desk_takes_a_booking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: Literal[8000, 16000], by: Literal["voice", "text"]
) -> None:
    monkeypatch.chdir(tmp_path)
    caller = Caller()
    for wav in BOOKING:
        caller = caller.say(AUDIO / wav, text=words_of(AUDIO / wav))
    call = simulate(EXAMPLES / "front_desk.py", caller, rate=rate, by=by)
    call.assert_tool("book_table", people=4, day="Friday", time="19:00")
    call.assert_said("booked")
    call.assert_ended(EndReason.AGENT_HANGUP)
    (booking,) = map(json.loads, (tmp_path / "bookings.jsonl").read_text().splitlines())
    assert booking["people"] == 4
    assert booking["from"] == "+15550100"


def test_the_front_desk_puts_those_through_who_ask_for_a_human() -> None:
    asks = Caller().say("Can I speak to a human please?")
    call = simulate(EXAMPLES / "front_desk.py", asks.pause(30), transfers={"human": "bridged"})
    call.assert_transferred(to="human")
    call.assert_ended(EndReason.TRANSFERRED)
    alone = asks.pause(20).say(AUDIO / "hours/01-open.wav")
    call = simulate(EXAMPLES / "front_desk.py", alone, transfers={"human": ("declined", 8)})
    call.assert_said("It is ringing")
    call.assert_said("nobody can come to the telephone")
    call.assert_said("open from Tuesday")


def test_the_same_bot_in_ten_lines_understands_what_nobody_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    caller = Caller()
    for said in (
        "We are six people, and we would like to come tomorrow at eight.",
        "Yes, please.",
        "Goodbye.",
    ):
        caller = caller.say(said)
    call, printed = told("ten_lines", caller, capsys)
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert any(line.endswith(": 6 people, tomorrow, 20:00") for line in printed), call.timeline()


def test_a_processor_of_ones_own_stands_between_stt_and_context(capsys: pytest.CaptureFixture[str]) -> None:
    call, printed = told("mask_digits", Caller().say(AUDIO / "hours/01-open.wav"), capsys)
    assert printed
    assert [f"the model sees: {text}" for text in texts(call, "user")] == printed


def test_a_chain_without_a_voice_agent_parrots_and_hangs_up(capsys: pytest.CaptureFixture[str]) -> None:
    call, printed = told("own_chain", Caller().say("One two three.").say("Thank you, goodbye."), capsys)
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert any(f"the call of +15550100 ended after {call.duration_s:.0f} s" in line for line in printed)


@pytest.mark.parametrize("written", ["Goodbye.", "Good-bye!", "OK, good bye"])
def test_a_goodbye_is_understood_however_the_ears_write_it(written: str) -> None:
    heard = Providers(stt=Transcripts(texts=[written]))
    call = simulate(EXAMPLES / "own_chain.py", Caller().say("Goodbye.").pause(20), providers=heard)
    call.assert_ended(EndReason.AGENT_HANGUP)


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ("my card is 4 1 1 1 2 3", "my card is [number]"),
        ("it is four one one one, two three", "it is [number]"),
        ("4111 1111", "[number]"),
        ("a table for four at seven", "a table for four at seven"),
        ("someone else", "someone else"),
        ("call (555) 123-4567", "call ([number]"),
    ],
)
def test_long_numbers_are_masked_and_others_are_not(said: str, masked: str) -> None:
    assert module("mask_digits").mask(said) == masked


def test_a_number_that_is_read_out_in_groups_is_masked_from_the_second_one_on() -> None:
    def said(text: str) -> TranscriptionFrame:
        return TranscriptionFrame(text, "caller", "")

    words = ["My card is 4111.", "1111 1111.", "one one two", "Two. Thank you.", "2026"]
    groups: list[Frame | Upstream] = [
        *map(said, words),
        said("4111"),
        InterimTranscriptionFrame("1111", "caller", ""),
        Upstream(BotStartedSpeakingFrame()),
        said("4 people at 7"),
    ]
    run = run_stage(module("mask_digits").MaskDigits(), groups)
    assert [frame.text for frame in run.of(TranscriptionFrame)] == [
        *("My card is 4111.", "[number].", "[number]", "[number]. Thank you.", "2026"),
        *("[number]", "4 people at 7"),
    ]
    assert [frame.text for frame in run.of(InterimTranscriptionFrame)] == ["[number]"]
