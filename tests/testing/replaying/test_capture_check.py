"""A capture that was damaged is refused with one sentence, whatever is missing in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.capture import CapturedCall, CaptureError
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.cli import main
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


def rewritten(file: Path, into: Path, **parts: Callable[[bytes], bytes | None]) -> Path:
    """Copy a capture with some of its parts changed; None leaves one out."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            change = parts.get(name.partition(".")[0].partition("-")[0], lambda data: data)
            if (data := change(source.read(name))) is not None:
                target.writestr(name, data)
    return into


def lines_of(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        lines = [json.loads(line) for line in data.splitlines()]
        found = change(lines)
        return "".join(json.dumps(line) + "\n" for line in (lines if found is None else found)).encode()

    return changed


def at_rate(rate: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:24] + rate.to_bytes(4, "little") + data[28:]


def behind_the_end(lines: list[dict[str, Any]]) -> None:
    next(line for line in lines if "audio" in line["data"])["data"]["audio"]["position"] += 10**9


DAMAGE: dict[str, tuple[dict[str, Callable[[bytes], bytes | None]], str]] = {
    "speech missing": ({"speech": lambda _: None}, r"speech-24000\.wav is missing in it"),
    "speech empty": (
        {"speech": lambda _: b""},
        r"speech-24000\.wav: not a WAV file \(it ends in its header\)",
    ),
    "speech cut": ({"speech": lambda data: data[:4000]}, r"speech-24000\.wav: it is cut off: 1978 of "),
    "rate": ({"speech": at_rate(8000)}, r"speech-24000\.wav: its rate is 8000 Hz, and not 24000"),
    "rate 0": ({"speech": at_rate(0)}, r"speech-24000\.wav: "),
    "caller empty": ({"caller": lambda _: b""}, r"caller\.wav: not a WAV file \(it ends in its header\)"),
    "caller cut": ({"caller": lambda data: data[:9999]}, r"caller\.wav: it is cut off"),
    "bot missing": ({"bot": lambda _: None}, r"bot\.wav is missing in it"),
    "bot empty": ({"bot": lambda _: b""}, r"bot\.wav: not a WAV file"),
    "position": (
        {"exchanges": lines_of(behind_the_end)},
        r"line \d+: .* its audio is behind the end of speech-24000",
    ),
    "negative": (
        {"exchanges": lines_of(lambda lines: lines[9].update(at=-5))},
        r"line 10: .* it is at -5 s, behind what came after the answer",
    ),
    "kind": (
        {"exchanges": lines_of(lambda lines: lines[5].update(kind="zz"))},
        "line 6: .* zz: there is no such kind",
    ),
    "opened": (
        {"exchanges": lines_of(lambda lines: lines[1:])},
        "line 1: .* connection 1 was not opened before",
    ),
    "version": (
        {"meta": lambda data: json.dumps({**json.loads(data), "version": 1}).encode()},
        "line 1: .* version 1 of the format has none",
    ),
    "key": (
        {"meta": lambda data: json.dumps({**json.loads(data), "zz": 1}).encode()},
        r"meta\.json: zz: there is no such key",
    ),
}


@pytest.fixture(scope="module")
def of_openai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded("openai", tmp_path_factory.mktemp("recorded") / "call.zip")


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_is_no_difference_of_the_bot(
    damage: str, of_openai: Path, tmp_path: Path
) -> None:
    parts, said = DAMAGE[damage]
    with pytest.raises(CaptureError, match=said):
        check_capture(CapturedCall(rewritten(of_openai, tmp_path / "damaged.zip", **parts)))


def test_an_incomplete_capture_is_replayed_and_named(
    of_openai: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "complete": False, "problem": "disk full"}).encode()

    file = rewritten(of_openai, tmp_path / "half.zip", meta=half, speech=lambda data: data[:4000])
    check_capture(CapturedCall(file))
    bot = tmp_path / "bot.py"
    bot.write_text("raise ValueError('no bot')\n")
    main(["replay", str(file), str(bot)])
    assert "half.zip: the call was not recorded to its end (disk full)" in capsys.readouterr().err
