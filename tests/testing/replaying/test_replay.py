"""Whole calls, recorded and replayed: with the same bot, and with one that has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline import testing
from piopiy_pipeline.capture import CallCapture, CapturedCall, Redaction
from piopiy_pipeline.capture.format import EventLine
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.testing import Caller, Replies, ScriptedTTS, Transcripts, Voice, simulate
from piopiy_pipeline.testing.replaying.replay import replay
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO, house
from tests.support.difficult_callers import COUGH, MHM
from tests.support.openai_server import Answer, endpoint
from tests.support.services import Reply, ScriptedLLM, ScriptedSTT, ToneTTS

BOOK, WHEN, YES = (AUDIO / "booking" / f"{name}.wav" for name in ("01-people", "02-when", "03-yes"))
HELLO = "Good evening, how can I help you today?"
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."
REPLIES: tuple[Reply, ...] = (LONG, ("book", {"people": 4}), "It is booked.", "Goodbye.")


class NeverCalled(ScriptedLLM):
    """Fails the call if a replay asks it."""

    async def process_frame(self, frame: Frame, direction: Any) -> None:
        raise AssertionError("a replay has asked a network provider")


class NeverSpeaks(ToneTTS):
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        raise AssertionError("a replay has asked a network provider")
        yield


def bot(
    *,
    greeting: str = HELLO,
    instructions: str = "Be brief.",
    live: bool = True,
    booked: list[int] | None = None,
) -> Callable[[str], Any]:
    """A bot on network services, which answer only if it is `live`."""

    async def create_session(call_id: str) -> None:
        async def book(params: FunctionCallParams, people: int) -> None:
            """Book a table."""
            if booked is not None:
                booked.append(people)
            await params.result_callback({"booked": True})

        agent = VoiceAgent(instructions=instructions, greeting=greeting, tools=[book])
        await agent.Action(
            stt=ScriptedSTT(["a table please", "for four", "yes"] if live else []),
            llm=ScriptedLLM(REPLIES) if live else NeverCalled([]),
            tts=ToneTTS(words=True) if live else NeverSpeaks(words=True),
        )
        await agent.start()

    return create_session


def test_a_recording_is_not_replaced_by_its_replay(recorded: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.zip"
    same.symlink_to(recorded)
    before = recorded.read_bytes()
    with pytest.raises(ValueError, match=r"same\.zip: it is the recording that is replayed"):
        replay(recorded, bot(live=False), record=same)
    assert recorded.read_bytes() == before


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call with a barge-in and a tool."""
    path = tmp_path_factory.mktemp("calls") / "call.zip"
    simulate(bot(), Caller().say(BOOK).interrupt(WHEN, after=1.2).say(YES).pause(3).hangup(), record=path)
    return path


def test_the_same_bot_says_the_same_and_asks_nobody(recorded: Path) -> None:
    booked: list[int] = []
    outcome = replay(recorded, bot(live=False, booked=booked))
    outcome.assert_same()
    assert booked == [4], "tools run"
    assert [act.barges_in for act in outcome.caller] == [False, True, False, False]


def test_a_summary_is_replayed_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    class Writer(ScriptedLLM):
        live = True

        async def run_inference(self, context: LLMContext, *_: Any, **__: Any) -> str | None:
            assert self.live, "a replay has asked a network provider"
            return "They talked of a table."

    def summing(live: bool) -> Callable[[], Any]:
        async def create_session() -> None:
            how = Summaries(after_tokens=100, keep_messages=2)
            agent = VoiceAgent(instructions="Be brief.", greeting=HELLO, summarise_after=how)
            agent.on("summary", lambda summary: told.append(summary.text))
            llm = Writer([LONG * 4, LONG * 4, "Goodbye."])
            llm.live = live
            await agent.Action(stt=ScriptedSTT(["a table", "for four", "yes"]), llm=llm, tts=ToneTTS())
            await agent.start()

        return create_session

    told: list[str] = []
    path = tmp_path / "call.zip"
    caller = Caller().say(BOOK).say(WHEN).say(YES).pause(3).hangup()
    simulate(summing(live=True), caller, record=path)
    recorded = len(told)
    assert recorded
    replay(path, summing(live=False)).assert_same()
    assert told == ["They talked of a table."] * (2 * recorded)


def test_a_replay_is_the_same_every_time(recorded: Path) -> None:
    runs = [replay(recorded, bot(live=False)).replayed for _ in range(3)]
    assert len({tuple((event.at, event.kind) for event in run.events) for run in runs}) == 1
    before = CapturedCall(recorded)
    for one, other in zip(before.events, runs[0].events, strict=True):
        assert one.kind == other.kind
        assert abs(one.at - other.at) < 0.11, f"{one.kind}: {one.at} and {other.at}"


def test_who_hangs_up_in_the_instant_before_the_bot_is_heard_does_so_again(tmp_path: Path) -> None:
    def times(events: list[EventLine], kind: str) -> list[float]:
        return [event.at for event in events if event.kind == kind]

    def called(pause_s: float) -> tuple[Path, list[EventLine]]:
        path = tmp_path / f"{pause_s}.zip"
        simulate(bot(), Caller().say(BOOK).pause(pause_s).hangup(), record=path)
        return path, CapturedCall(path).events

    _, answered = called(9)
    answer_at, [end_at] = times(answered, "bot_started")[1], times(answered, "end")
    path, events = called(round(answer_at - 0.011 - (end_at - 9), 3))
    assert len(times(events, "bot_started")) == 1
    outcome = replay(path, bot(live=False))
    outcome.assert_same()
    assert len(times(outcome.replayed.events, "bot_started")) == 1
    assert times(outcome.replayed.events, "end") == pytest.approx(times(events, "end"), abs=0.001)


@pytest.mark.parametrize(
    ("caller", "model_s", "voice"),
    [
        (Caller().say(BOOK).pause(1).hangup(), 2.0, Voice()),
        (Caller().say(BOOK).pause(3.5).say(YES).pause(1).hangup(), 9.0, Voice()),
        (Caller().say(BOOK).pause(1.5).say(YES).pause(2).hangup(), 0.0, Voice(latency=6.0)),
    ],
    ids=["model at the end", "model", "voice"],
)
def test_an_answer_that_was_given_up_before_it_was_complete_is_given_up_again(
    caller: Caller, model_s: float, voice: Voice, tmp_path: Path
) -> None:
    async def create_session(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=HELLO)
        llm = testing.ScriptedLLM(Replies(LONG, otherwise="Goodbye.", latency=model_s))
        stt = ScriptedSTT(["a table please", "yes"])
        await agent.Action(stt=stt, llm=llm, tts=ScriptedTTS(voice), interruption="immediate")
        await agent.start()

    simulate(create_session, caller, record=tmp_path / "call.zip")
    replay(tmp_path / "call.zip", create_session).assert_same()


def test_words_that_came_as_the_caller_fell_silent_come_behind_the_end_of_their_speech(
    tmp_path: Path,
) -> None:
    async def create_session(call_id: str) -> None:
        ears = Transcripts(texts=["a table please", "mhm", "yes"], finalizes=False)
        replies = Replies("Yes.", otherwise="Goodbye.", latency=1.3)
        agent = VoiceAgent(instructions="Be brief.", greeting=HELLO)
        await agent.Action(
            stt=testing.ScriptedSTT(ears),
            llm=testing.ScriptedLLM(replies),
            tts=ScriptedTTS(Voice(speed=1.5, words=False)),
        )
        await agent.start()

    path = tmp_path / "call.zip"
    caller = Caller().interrupt(COUGH, after=1.755, text="uh", insist=False).pause(2.184).say(MHM, text="mhm")
    simulate(create_session, caller.hangup(), record=path)
    replay(path, create_session).assert_same()


def test_a_longer_greeting_is_waited_for_and_named(recorded: Path) -> None:
    longer = f"{HELLO} We have fresh fish today, and the terrace is open."
    outcome = replay(recorded, bot(live=False, greeting=longer))
    said = [difference for difference in outcome.differences if difference.what == "bot"]
    assert [(each.recorded, each.now) for each in said] == [(f'"{HELLO}"', f'"{longer}"')]
    assert not any(event.data.get("interrupted") for event in outcome.replayed.events[:6])
    requests = [difference.now or "" for difference in outcome.differences if difference.what == "request"]
    assert len(requests) == 2
    assert f"to say {longer!r}" in requests[0]
    assert "messages[1] (assistant).content" in requests[1]
    assert {difference.what for difference in outcome.differences} == {"bot", "request"}


def test_another_prompt_is_a_named_divergence(recorded: Path) -> None:
    outcome = replay(recorded, bot(live=False, instructions="Be long."))
    (found,) = outcome.differences
    assert "messages[0] (system).content was 'Be brief.', and is 'Be long.'" in str(found)
    assert len(outcome.divergences) == 4
    with pytest.raises(AssertionError, match=r"call\.zip: 1 difference\n"):
        outcome.assert_same()


def test_a_bot_that_does_not_answer_any_more_is_told_apart(recorded: Path) -> None:
    async def deaf(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=HELLO)
        pipeline = await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS(words=True))
        pipeline.remove("stt")
        await agent.start()

    outcome = replay(recorded, deaf)
    assert [each.what for each in outcome.differences if each.recorded is not None].count("user") == 3
    assert any(each.what == "tool" and each.now is None for each in outcome.differences)
    assert any(each.what == "caller" for each in outcome.differences), "they waited for an answer"


def test_a_callback_that_fails_is_a_difference_in_how_the_call_ended(recorded: Path) -> None:
    async def broken(call_id: str) -> None:
        raise KeyError("menu")

    outcome = replay(recorded, broken)
    (end,) = [each for each in outcome.differences if each.what == "end"]
    assert end.recorded == "caller_hangup"
    assert "the callback failed: KeyError at tests/testing/replaying/test_replay.py:" in str(end.now)
    assert "'menu'" in str(end.now)


def test_a_redacted_call_is_replayed_with_the_same_redaction(tmp_path: Path) -> None:
    class Hide(Redaction):
        def text(self, text: str) -> str:
            return text.replace("four", "[number]")

    path = tmp_path / "call.zip"

    def recorder(*args: Any, **options: Any) -> CallCapture:
        return CallCapture(*args, **options, redact=Hide())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("piopiy_pipeline.testing.simulation.CallCapture", recorder)
        simulate(bot(), Caller().say(BOOK).interrupt(WHEN, after=1.2).say(YES).pause(3).hangup(), record=path)
    assert "four" not in str(CapturedCall(path).exchanges)
    replay(path, bot(live=False), redact=Hide()).assert_same()


@pytest.mark.realtime
def test_a_call_with_a_real_client_is_replayed_when_its_server_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real time, because the client and its connection are real."""
    monkeypatch.setenv("PIOPIY_RECORD", str(tmp_path))

    def on(url: str) -> Callable[[str], Any]:
        async def create_session(call_id: str) -> None:
            agent = VoiceAgent(instructions="Be brief.", greeting="Good evening.")
            llm = OpenAILLMService(api_key="sk-never-in-the-file-0123456789", base_url=url)
            await agent.Action(stt=ScriptedSTT(["a table please"]), llm=llm, tts=ToneTTS(words=True))
            await agent.start()

        return create_session

    async def live() -> None:
        async with endpoint(Answer("fine", "For how many people?")) as served, house(on(served.url)) as place:
            await place.call("booking/01-people.wav", hangup_after_s=2.5)

    asyncio.run(live())
    (file,) = tmp_path.iterdir()
    assert b"never-in-the-file" not in file.read_bytes()
    outcome = replay(file, on("http://127.0.0.1:9/v1"))
    outcome.assert_same()
    assert [e.data["text"] for e in outcome.replayed.events if e.kind == "bot_turn"] == [
        "Good evening.",
        "For how many people?",
    ]
