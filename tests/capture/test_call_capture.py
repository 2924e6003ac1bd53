"""Whole calls, recorded: what the link, the providers' stages and the call tell a recorder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline import testing
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.testing import Caller, Replies, Tool, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.calls import AUDIO, eventually, house
from tests.support.services import Reply, ScriptedLLM, ScriptedSTT, ToneTTS

SECRET = "k3y-of-the-provider"
BOOK, WHEN, YES = (AUDIO / "booking" / f"{name}.wav" for name in ("01-people", "02-when", "03-yes"))
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


def bot_that_says(*replies: Reply, hears: tuple[str, ...] = ("a table please", "for four", "yes")) -> Any:
    async def bot(call_id: str) -> None:
        async def book(params: FunctionCallParams, people: int) -> None:
            """Book a table."""
            await params.result_callback({"booked": True, "api_key": SECRET})

        agent = VoiceAgent(instructions="Be brief.", greeting="Good evening.", tools=[book])
        llm = ScriptedLLM(replies)
        llm._api_key = SECRET  # type: ignore[attr-defined]  # as a provider's service has one
        await agent.Action(stt=ScriptedSTT(hears), llm=llm, tts=ToneTTS(words=True))
        await agent.start()

    return bot


def of(recording: CapturedCall, stage: str, kind: str) -> list[dict[str, Any]]:
    return [line.data for line in recording.exchanges if (line.stage, line.kind) == (stage, kind)]


def test_a_call_is_recorded_with_both_voices_and_all_that_was_asked_and_answered(tmp_path: Path) -> None:
    path = tmp_path / "call.zip"
    call = simulate(
        bot_that_says("For how many?", ("book", {"people": 4}), "It is booked."),
        Caller().say(BOOK).say(WHEN).pause(3).hangup(),
        record=path,
    )
    recording = CapturedCall(path)
    assert recording.meta.complete
    assert [event.data["text"] for event in recording.events if event.kind == "bot_turn"] == [
        "Good evening.",
        "For how many?",
        "It is booked.",
    ]
    (tool,) = [event for event in recording.events if event.kind == "tool"]
    assert tool.data == {"number": 1, "name": "book", "arguments": {"people": 4}}
    assert [each["text"] for each in of(recording, "stt", "transcript")] == ["a table please", "for four"]
    requests = of(recording, "llm", "request")
    assert [message["content"] for message in requests[1]["content"]["messages"][-2:]] == [
        "For how many?",
        "for four",
    ]
    assert [tool["name"] for tool in requests[0]["content"]["tools"]] == ["book"]
    assert of(recording, "llm", "tool_calls") == [{"calls": [{"name": "book", "arguments": {"people": 4}}]}]
    assert [each["content"]["text"] for each in of(recording, "tts", "request")] == [
        "Good evening.",
        "For how many?",
        "It is booked.",
    ]
    assert {each["word"] for each in of(recording, "tts", "word")} >= {"Good", "evening.", "how", "booked."}
    assert recording.speech(16000).size == sum(each["samples"] for each in of(recording, "tts", "audio"))
    np.testing.assert_array_equal(recording.bot, call.bot_audio[: recording.bot.size])


def test_of_two_equal_uses_of_a_tool_at_once_each_is_recorded_with_its_result(tmp_path: Path) -> None:
    uses: list[ToolUse] = []

    async def bot(call_id: str) -> None:
        async def look(params: FunctionCallParams, x: int) -> None:
            """Look."""
            await asyncio.sleep(1)
            await params.result_callback("a table")

        agent = VoiceAgent(instructions="Be brief.", greeting="Good evening.", tools=[look])
        agent.on("tool", uses.append)
        await agent.Action(stt=ScriptedSTT(("a table please",)), llm=llm, tts=ToneTTS(words=True))
        await agent.start()

    llm = testing.ScriptedLLM(Replies((Tool("look", x=1), Tool("look", x=1), "Yes.")))
    call = simulate(bot, Caller().say(BOOK).pause(4).hangup(), record=tmp_path / "call.zip")
    call.assert_said("Yes.")
    events = [event for event in CapturedCall(tmp_path / "call.zip").events if "tool" in event.kind]
    assert [event.kind for event in events] == ["tool", "tool", "tool_result", "tool_result"]
    numbers = [int(event.data["number"]) for event in events]
    assert (numbers[:2], sorted(numbers[2:])) == ([1, 2], [1, 2])
    assert [event.data["result"] for event in events[2:]] == ["a table", "a table"]
    assert [(use.number, use.returned) for use in uses] == [
        *zip(numbers, (False, False, True, True), strict=True)
    ]
    assert [(use.number, use.returned) for use in call.tools] == [(1, True), (2, True)]


def test_the_bot_is_recorded_as_it_was_heard_and_not_as_it_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "call.zip"
    simulate(
        bot_that_says(LONG, "Yes?"),
        Caller().say(BOOK).interrupt(WHEN, after=1.0).pause(2).hangup(),
        record=path,
    )
    recording = CapturedCall(path)
    (cut,) = [event for event in recording.events if event.kind == "bot_stopped" and event.data["cut"]]
    rate = recording.meta.bot_rate
    assert recording.bot[round((cut.at - 0.1) * rate) : round(cut.at * rate)].any()
    assert not recording.bot[round((cut.at + 0.01) * rate) : round((cut.at + 0.5) * rate)].any()
    sent = sum(each["samples"] for each in of(recording, "tts", "audio"))
    assert sent / rate > 5, "all of the long answer was made"
    assert any(event.kind == "interruption" for event in recording.events)


def test_no_secret_of_a_service_or_of_the_environment_enters_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-the-environment")
    path = tmp_path / "call.zip"
    simulate(
        bot_that_says(
            ("book", {"people": 2}),
            f"Your key is {SECRET}, and {'k3y-of-the-environment'} too.",
            RuntimeError(f"401: Incorrect API key provided: {SECRET}"),
            "Sorry.",
        ),
        Caller().say(BOOK).say(WHEN).pause(2).hangup(),
        record=path,
    )
    shutil.unpack_archive(path, tmp_path / "open")
    texts = b"".join(file.read_bytes() for file in (tmp_path / "open").iterdir())
    assert b"For" in texts or b"table" in texts
    assert b"k3y-of" not in texts


def test_a_disk_that_fails_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    call = simulate(
        bot_that_says("For how many?"), Caller().say(BOOK).pause(3).hangup(), record=blocked / "call.zip"
    )
    call.assert_said("For how many?")
    call.assert_ended("caller_hangup")


@pytest.mark.realtime
def test_an_agent_leaves_a_file_per_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In real time, because the agent and its sockets are what is tested."""
    monkeypatch.setenv("PIOPIY_RECORD", str(tmp_path / "calls"))

    async def scenario() -> None:
        async with house(bot_that_says("Goodbye.")) as place:
            await asyncio.gather(*(place.call("booking/03-yes.wav", hangup_after_s=1.5) for _ in range(2)))

    asyncio.run(scenario())
    files = sorted((tmp_path / "calls").iterdir())
    assert len(files) == 2
    recordings = [CapturedCall(file) for file in files]
    assert len({recording.meta.call.call_id for recording in recordings}) == 2
    for recording in recordings:
        assert recording.meta.call.from_number == "+15550100"
        assert [event.data["text"] for event in recording.events if event.kind == "bot_turn"] == [
            "Good evening.",
            "Goodbye.",
        ]
        assert abs(recording.caller.size / 16000 - recording.events[-1].at) < 0.5
        assert recording.bot.any()


@pytest.mark.parametrize("record", ["calls.zip", __file__])
def test_an_agent_records_into_a_folder_and_nowhere_else(record: str) -> None:
    callback: Callable[[str], Awaitable[None]] = bot_that_says()
    with pytest.raises(ValueError, match="must be a folder"):
        Agent("a", "t", callback, record=record)


def test_an_agent_says_at_its_start_that_no_call_can_be_captured_and_serves_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()

    async def said_with(folder: Path) -> list[str]:
        agent = Agent("a", "t", bot_that_says(), signaling_url="ws://127.0.0.1:1", record=folder)
        with logged() as lines:
            serving = asyncio.create_task(agent.connect())
            await eventually(lambda: any("127.0.0.1:1" in line for _, line in lines), 20)
            assert not serving.done(), "it goes on to look for its gateway"
            await agent.shutdown()
            await serving
        return [line for _, line in lines if "captured" in line]

    [said] = asyncio.run(said_with(tmp_path / "file" / "calls"))
    assert said.startswith(
        f"ERROR no call is captured: cannot write in {tmp_path / 'file' / 'calls'}: Not a directory."
    )
    assert asyncio.run(said_with(tmp_path / "calls")) == []
