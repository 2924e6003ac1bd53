"""Reading a capture that somebody else has made: what it may cost, and what is said of one that is broken."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import subprocess
import sys
import wave
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.capture import CapturedCall, CaptureError
from piopiy_pipeline.capture import container as limits

META = {
    "format": "piopiy-call",
    "version": 1,
    "started_at": "2026-01-02T03:04:05.678+00:00",
    "call": {"agent_id": "desk", "call_id": "c-1"},
    "caller_rate": 8000,
    "bot_rate": 8000,
    "complete": True,
}
MEGABYTE = 1 << 20


def wav(samples: bytes, rate: int = 8000) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples)
    return file.getvalue()


def arrival(at: float, position: object) -> bytes:
    line = {"at": at, "kind": "caller_audio", "data": {"position": position}}
    return json.dumps(line).encode() + b"\n"


def parts(**changed: bytes) -> dict[str, bytes]:
    good = {
        "meta.json": json.dumps(META).encode(),
        "events.jsonl": arrival(0.0, 0) + arrival(1.0, 800),
        "exchanges.jsonl": b'{"at": 1.0, "stage": "stt", "service": "A", "id": 0, "kind": "end"}\n',
        "caller.wav": wav(np.arange(1600, dtype="<i2").tobytes()),
        "bot.wav": wav(bytes(1600)),
    }
    return good | {name.replace("_", "."): data for name, data in changed.items()}


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def foldered(path: Path, contents: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in contents.items():
        (path / name).write_bytes(data)
    return path


def everything(path: Path) -> CapturedCall:
    call = CapturedCall(path)
    _ = call.events, call.exchanges, call.caller, call.bot
    return call


def problem(path: Path) -> str:
    with pytest.raises(CaptureError) as raised:
        everything(path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("make", [zipped, foldered])
def test_a_call_is_read_and_its_audio_is_placed(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    call = everything(make(tmp_path / "a.zip", parts()))
    assert call.caller.size == 8800, "0.1 s of audio, 0.9 s of silence, 0.1 s of audio"
    assert call.caller[8000] == 800


# ---------------------------------------------------------------------- a small file that is large inside


def test_a_small_zip_cannot_take_the_memory(tmp_path: Path) -> None:
    """In a process with little memory: a part that unpacks to 550 MB is refused before it is unpacked."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("meta.json", json.dumps(META))
        with archive.open("caller.wav", "w", force_zip64=True) as part:
            for _ in range(55):
                part.write(bytes(10 * MEGABYTE))
    assert path.stat().st_size < 6 * MEGABYTE
    script = (
        "import sys; from piopiy_pipeline.capture import CapturedCall, CaptureError\n"
        "try: CapturedCall(sys.argv[1]).caller\n"
        "except CaptureError as error: print(error)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )
    message, peak_kb = answer.stdout.splitlines()
    assert message == f"{path}: caller.wav is larger than 512 MB: no call is that long"
    assert int(peak_kb) < 500 * 1024


def test_a_part_is_at_most_so_many_times_its_size_in_the_file(tmp_path: Path) -> None:
    path = zipped(tmp_path / "silence.zip", parts(caller_wav=wav(bytes(100 * MEGABYTE))))
    assert "caller.wav would unpack to 100 MB, more than 100 times its size in the file" in problem(path)
    path = zipped(tmp_path / "stored.zip", parts(bot_wav=wav(bytes(20 * MEGABYTE))), zipfile.ZIP_STORED)
    assert everything(path).bot.size == 10 * MEGABYTE, "as large, but not compressed"


def test_a_part_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    path = zipped(tmp_path / "liar.zip", parts(meta_json=json.dumps(META).encode() + b" " * (2 * MEGABYTE)))
    data = path.read_bytes()
    size = struct.pack("<I", 2 * MEGABYTE + len(json.dumps(META)))
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<I", 1000)))
    assert "meta.json" in problem(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_without_a_bound_is_refused(tmp_path: Path, method: int) -> None:
    assert "neither stored nor deflated" in problem(zipped(tmp_path / "a.zip", parts(), method))


def test_a_zip_of_many_files_is_refused_before_its_directory_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "many.zip", parts() | {f"{i}.txt": b"" for i in range(200)})
    assert "more than 100 files" in problem(path)
    path = zipped(tmp_path / "huge.zip", parts() | {f"{i}.txt": b"" for i in range(66_000)})
    assert "of the kind for huge files" in problem(path)


@pytest.mark.parametrize("make", [zipped, foldered])
def test_text_is_limited_in_lines_and_values_and_depth(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    many = b'{"at":0,"kind":"a"}\n' * (limits.MAX_LINES + 1)
    assert "events.jsonl: it has more than 250000 lines" in problem(
        make(tmp_path / "lines", parts(events_jsonl=many))
    )
    wide = b'{"at":0,"kind":"a","data":{"x":[' + b"[]," * 4_000_000 + b"0]}}"
    assert "it has more than 4000000 values" in problem(make(tmp_path / "wide", parts(events_jsonl=wide)))
    deep = b'{"at":0,"kind":"a","data":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert "recursion limit" in problem(make(tmp_path / "deep", parts(events_jsonl=deep)))


def test_a_file_of_a_folder_is_limited_as_one_of_a_zip(tmp_path: Path) -> None:
    folder = foldered(tmp_path / "a.zip.part", parts())
    with (folder / "caller.wav").open("r+b") as file:
        file.truncate(3 << 30)  # it takes no room on the disk
    assert "caller.wav is larger than 512 MB" in problem(folder)
    (folder / "caller.wav").unlink()
    os.mkfifo(folder / "caller.wav")
    assert "it is not a file" in problem(folder), "and nobody waits for a pipe to be written"


def test_a_pipe_is_no_capture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    assert "it is not a file" in problem(tmp_path / "pipe.zip")


# ---------------------------------------------------------------------- numbers that cost memory or time


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (arrival(0, 0) + arrival(600_000, 800), "caller_audio at 600000 s is later than any call lasts"),
        (arrival(0, 800) + arrival(0, 0), "caller_audio at 0 s has a position after that of the next"),
        (arrival(0, -1), "caller_audio at 0 s has no position"),
        (arrival(0, "0"), "caller_audio at 0 s has no position"),
        (arrival(0, None), "caller_audio at 0 s has no position"),
        (b'{"at": NaN, "kind": "a"}', "events.jsonl, line 1: at"),
        (b'{"at": 1e300, "kind": "a"}', "events.jsonl, line 1: at"),
    ],
)
def test_times_and_positions_that_cannot_be_are_refused(tmp_path: Path, events: bytes, said: str) -> None:
    assert said in problem(zipped(tmp_path / "a.zip", parts(events_jsonl=events)))


def test_a_long_message_may_have_begun_before_the_delayed_one_that_it_follows(tmp_path: Path) -> None:
    events = arrival(0.225, 0) + arrival(0.03, 160) + arrival(0.05, 480)
    call = everything(zipped(tmp_path / "a.zip", parts(events_jsonl=events)))
    assert [position for _, position in call.arrivals] == [0, 160, 480]
    heard = call.caller[call.caller != 0]
    assert heard.tolist() == list(range(1, heard.size + 1)), "all of it, in order"


def test_the_audio_of_a_lost_agent_may_end_before_the_last_event(tmp_path: Path) -> None:
    meta = json.dumps(META | {"complete": False}).encode()
    events = arrival(0, 0) + arrival(1, 1600) + arrival(2, 2400)
    call = everything(zipped(tmp_path / "a.zip", parts(meta_json=meta, events_jsonl=events)))
    assert call.caller[:1600].tolist() == list(range(1600))


@pytest.mark.parametrize("rate", [0, -1, 1, 10**9])
def test_a_rate_that_nobody_has_is_refused(tmp_path: Path, rate: int) -> None:
    meta = json.dumps(META | {"caller_rate": rate}).encode()
    assert "meta.json: caller_rate" in problem(zipped(tmp_path / "a.zip", parts(meta_json=meta)))


# ---------------------------------------------------------------------- what is broken


@settings(
    max_examples=int(os.environ.get("PROPERTY_CASES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=5),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_damaged_file_is_a_sentence_or_a_call(
    tmp_path: Path, method: int, changes: list[tuple[float, bytes]], cut: float | None
) -> None:
    path = zipped(tmp_path / "damaged.zip", parts(), method)
    data = bytearray(path.read_bytes())
    for at, new in changes:
        start = int(at * (len(data) - len(new)))
        data[start : start + len(new)] = new
    path.write_bytes(bytes(data if cut is None else data[: int(cut * len(data))]))
    with contextlib.suppress(CaptureError):
        everything(path)
