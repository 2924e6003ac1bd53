"""What is on the disk, while a call lasts and afterwards."""

from __future__ import annotations

import stat
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.capture import CapturedCall, CaptureError, Redaction
from piopiy_pipeline.capture.format import EVENTS, CapturedCallInfo, Meta
from piopiy_pipeline.capture.redaction import Side
from piopiy_pipeline.capture.secrets import Scrubber
from piopiy_pipeline.capture.writer import CaptureBatch, CaptureWriter, file_for

META = Meta(
    started_at="2026-01-02T03:04:05.678+00:00",
    call=CapturedCallInfo(agent_id="desk", call_id="c-1", from_number="+1555010023"),
    caller_rate=8000,
    bot_rate=16000,
)


def tone(samples: int, value: int = 7) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def line(kind: str, at: float = 0.0, **data: object) -> tuple[str, dict[str, object]]:
    return EVENTS, {"at": at, "kind": kind, "data": data}


def written(path: Path, batch: CaptureBatch, redaction: Redaction | None = None) -> CapturedCall:
    writer = CaptureWriter(path, redaction=redaction, scrubber=Scrubber())
    writer.begin(META)
    try:
        writer.write(batch)
        return CapturedCall(writer.finish(META.model_copy(update={"complete": True})))
    finally:
        writer.abandon()


def test_a_finished_recording_is_one_file_that_common_tools_open(tmp_path: Path) -> None:
    recording = written(
        tmp_path / "a.zip",
        CaptureBatch(
            [line("answered")], [("caller.wav", 8000, -1, tone(800)), ("bot.wav", 16000, 1600, tone(160))]
        ),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"], "and nothing beside it"
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600
    with (
        zipfile.ZipFile(tmp_path / "a.zip") as archive,
        archive.open("bot.wav") as file,
        wave.open(file) as bot,
    ):
        assert (bot.getframerate(), bot.getnchannels(), bot.getnframes()) == (16000, 1, 1760)
    assert recording.meta.call.info().from_number == "+1555010023"
    assert recording.bot[:1600].any() == np.False_, "silence until the bot spoke"
    assert recording.caller.size == 800


def test_audio_for_a_place_that_is_written_is_not_written_twice(tmp_path: Path) -> None:
    recording = written(
        tmp_path / "a.zip",
        CaptureBatch(audio=[("bot.wav", 16000, 0, tone(100, 1)), ("bot.wav", 16000, 60, tone(100, 2))]),
    )
    assert recording.bot.tolist() == [1] * 100 + [2] * 60


def test_a_lost_agent_leaves_a_folder_that_reads_as_a_file_does(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.zip", scrubber=Scrubber())
    writer.begin(META)
    writer.write(
        CaptureBatch(
            [line("answered"), line("user_turn", 1.0, text="hello")], [("caller.wav", 8000, -1, tone(80))]
        )
    )
    with (writer.folder / EVENTS).open("ab") as events:
        events.write(b'{"at":2.0,"kind":"bot_tu')
    recording = CapturedCall(writer.folder)
    assert not recording.meta.complete
    assert [event.kind for event in recording.events] == ["answered", "user_turn"]
    assert recording.caller.size == 80
    writer.abandon()


def test_a_redaction_sees_texts_and_sounds_before_the_disk_does(tmp_path: Path) -> None:
    class Hide(Redaction):
        def text(self, text: str) -> str:
            return text.replace("1555010023", "...").replace("Ann", "[name]")

        def audio(self, side: Side, pcm: NDArray[np.int16], rate: int, at_s: float) -> NDArray[np.int16]:
            return np.zeros_like(pcm) if side == "caller" else pcm

    batch = CaptureBatch(
        [line("tool", name="book", arguments={"guest": "Ann", "people": 4})],
        [("caller.wav", 8000, -1, tone(80)), ("bot.wav", 16000, 0, tone(80))],
    )
    recording = written(tmp_path / "a.zip", batch, Hide())
    assert recording.meta.call.from_number == "+..."
    assert recording.meta.call.call_id == "c-1"
    assert recording.events[0].data == {"name": "book", "arguments": {"guest": "[name]", "people": 4}}
    assert not recording.caller.any()
    assert recording.bot.all()


def test_a_redaction_that_returns_other_samples_is_an_error_that_names_it(tmp_path: Path) -> None:
    class Shorten(Redaction):
        def audio(self, side: Side, pcm: NDArray[np.int16], rate: int, at_s: float) -> NDArray[np.int16]:
            return pcm[:-1]

    with pytest.raises(ValueError, match=r"Shorten\.audio\(\) was given 80 samples"):
        written(tmp_path / "a.zip", CaptureBatch(audio=[("caller.wav", 8000, -1, tone(80))]), Shorten())


def test_a_folder_gets_a_file_per_call_whatever_the_call_is_called() -> None:
    named = file_for(Path("calls"), "../../etc/passwd", META.started_at)
    assert named == Path("calls/20260102T030405-______etc_passwd.zip")
    assert file_for(Path("one.zip"), "c", META.started_at) == Path("one.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other.txt": "x"}, "not a recorded call: meta.json is missing"),
        ({"meta.json": "{"}, "meta.json: Invalid JSON"),
        ({"meta.json": '{"format": "tape", "version": 1}'}, "its format is 'tape'"),
        ({"meta.json": '{"format": "piopiy-call", "version": 9}'}, "of version 9.*upgrade"),
        (
            {"meta.json": META.model_dump_json(), "events.jsonl": '{"at": 1}\n\n'},
            "events.jsonl, line 1: kind",
        ),
        (
            {"meta.json": META.model_dump_json(), "events.jsonl": '{"at":1,"kind":"x","more":2}\n\n'},
            "line 1: more: there is no such key",
        ),
    ],
)
def test_what_is_no_recording_is_refused_with_a_sentence(
    tmp_path: Path, content: dict[str, str], message: str
) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    with pytest.raises(CaptureError, match=message) as caught:
        _ = CapturedCall(path).events
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.zip: no such file"):
        CapturedCall(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(CaptureError, match="no zip file"):
        CapturedCall(tmp_path / "text.zip")


def test_a_folder_of_captures_that_is_made_is_private_and_an_existing_one_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(0o755)
    for folder, mode in (("new/calls", 0o700), ("new", 0o700), ("mine", 0o755)):
        written(tmp_path / folder / "a.zip", CaptureBatch([line("answered")]))
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == mode
        assert stat.S_IMODE((tmp_path / folder / "a.zip").stat().st_mode) == 0o600
