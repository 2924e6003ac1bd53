"""A capture that was damaged is refused with one sentence, whatever is missing in it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.capture import CapturedCall, CaptureError
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing import Caller, Tool, Voice, replay, simulate
from piopiy_pipeline.testing.replaying.answers import AnswerBook
from piopiy_pipeline.testing.replaying.capture_check import check_capture
from piopiy_pipeline.testing.replaying.gemini_book import GeminiBook
from piopiy_pipeline.testing.replaying.realtime_book import RealtimeBook
from piopiy_pipeline.testing.replaying.replayed_speech import resolve_speech
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES
from tests.testing.replaying.test_realtime_replay import booking

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")
KINDS = ["cascade", "openai", "gemini"]
WRONG: list[Any] = [None, -7, "text", {}]


async def cascade(call_id: str) -> None:
    agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
    await agent.Action(stt=ScriptedSTT(["a table please"]), llm=ScriptedLLM(["For how many?"]), tts=ToneTTS())
    await agent.start()


def recorded(kind: str, file: Path) -> Path:
    caller = Caller().say(PEOPLE).interrupt(YES, after=1.5).pause(2).hangup()
    if kind == "cascade":
        simulate(cascade, Caller().say(PEOPLE).pause(2).hangup(), record=file)
        return file
    case_of: type[Case] = Case
    if kind == "gemini":
        pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
        from tests.support.gemini_calls import GeminiCase

        case_of = GeminiCase
    case = case_of(LONG, (Tool("book", people=4), "Booked."), texts=["a table", "no"], voice=Voice(speed=2.0))
    case.call(caller, agent={"tools": [booking([])]}, record=file)
    return file


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to everything in a value."""
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in found:
        yield (*before, key)
        yield from paths(inner, (*before, key))


def damaged(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield copies in each of which one thing is missing, or another."""
    for way in paths(data):
        for value in ["missing", *WRONG]:
            changed = deepcopy(data)
            place: Any = changed
            for key in way[:-1]:
                place = place[key]
            if value == "missing":
                del place[way[-1]]
            else:
                place[way[-1]] = value
            yield changed


def read(capture: CapturedCall, number: int | None = None) -> None:
    """Read all that a replay reads of the exchanges, or only what has to do with one of them."""
    check_capture(capture)
    lines = capture.exchanges
    book = AnswerBook(lines, now=lambda: 0.0)
    resolve_speech(book.voice, lines, capture.speech)
    openai, google = (kind(lines, capture.speech, book) for kind in (RealtimeBook, GeminiBook))
    for line in lines if number is None else [lines[number]]:
        if line.stage == "realtime" and line.kind == "received" and "text" not in line.data:
            (openai if "type" in line.data else google).message(line.data)
        if line.stage == "llm" and line.kind == "request":
            book.llm(line.data["content"])
        elif line.stage == "tts" and line.kind == "request":
            book.tts(line.data["content"])


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_damaged_is_a_sentence_or_does_not_matter(kind: str, tmp_path: Path) -> None:
    capture = CapturedCall(recorded(kind, tmp_path / "call.zip"))
    lines = list(capture.exchanges)
    read(capture)
    seen: set[Any] = set()
    refused: list[tuple[int, str]] = []
    for n, line in enumerate(lines):
        shape = (line.stage, line.kind, line.data.get("type"), tuple(map(str, paths(line.data))))
        if shape in seen:
            continue
        seen.add(shape)
        for data in damaged(line.data):
            changed: ExchangeLine = line.model_copy(update={"data": data})
            capture.__dict__["exchanges"] = [*lines[:n], changed, *lines[n + 1 :]]
            try:
                read(capture, n)
            except CaptureError as error:
                refused.append((n + 1, str(error)))
    assert len(refused) > 20
    assert all(f"line {number}: " in text and "\n" not in text for number, text in refused), refused


@pytest.mark.parametrize(
    ("kind", "wanted", "what"),
    [
        ("cascade", ("llm", "request", ""), "llm request: content: is missing"),
        ("cascade", ("tts", "request", ""), "tts request: content: is missing"),
        ("openai", ("realtime", "received", "response.created"), "response: is missing"),
        ("openai", ("realtime", "received", "session.created"), "session: is missing"),
    ],
)
def test_a_replay_names_the_line(kind: str, wanted: tuple[str, str, str], what: str, tmp_path: Path) -> None:
    capture = CapturedCall(recorded(kind, tmp_path / "call.zip"))
    lines = list(capture.exchanges)
    n = next(
        n for n, line in enumerate(lines) if (line.stage, line.kind, str(line.data.get("type", ""))) == wanted
    )
    data = {key: value for key, value in lines[n].data.items() if key == "type"}
    lines[n] = lines[n].model_copy(update={"data": data})
    capture.__dict__["exchanges"] = lines
    with pytest.raises(CaptureError, match=rf"call\.zip: exchanges\.jsonl, line {n + 1}: .*{what}"):
        replay(capture, cascade)
