"""Recordings of calls: both sides where they were heard, and a disk that fails harms no call.

In virtual time, except for the whole call and the process that is killed.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import shutil
import weakref
from array import array
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from loguru import logger
from numpy.typing import NDArray

from piopiy_pipeline.audio.growing_wav import GrowingWav, Piece
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.recordings.recorder import (
    HOLD_S,
    WAITING_S,
    WRITE_S,
    CallRecording,
    GatewayRecorder,
)
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.call_events import NOON, CallEvents
from tests.support.gateway_peers import agent, caller, config
from tests.support.web import API_KEY, client

RATE = 8000
FRAME = 160
INFO = CallInfo("front-desk", "call-1")
NAME = "2027-01-15/call-1.wav"


class Studio:
    """A recorder with its folder, and what it told."""

    def __init__(self, folder: Path, recorder: type[GatewayRecorder] = GatewayRecorder) -> None:
        self.finished: list[tuple[str, str]] = []
        self.recorder = recorder(
            folder, on_finished=lambda *told: self.finished.append(told), wall=lambda: NOON
        )

    def begin(self, info: CallInfo = INFO) -> CallRecording:
        recording = self.recorder.begin(info, RATE)
        assert recording is not None
        return recording


def sound(value: int, samples: int = FRAME) -> bytes:
    return array("h", [value] * samples).tobytes()


async def speak(recording: CallRecording, seconds: float, *, caller: int = 0, bot: int = 0) -> None:
    """So long, in frames of 20 ms: what the caller said comes at its end, what the bot says at its beginning."""
    for _ in range(round(seconds / 0.02)):
        if bot:
            recording.bot(sound(bot))
        await asyncio.sleep(0.02)
        if caller:
            recording.caller(sound(caller))


def read(path: Path) -> NDArray[np.int16]:
    samples, _ = soundfile.read(path, dtype="int16", always_2d=True)
    pcm: NDArray[np.int16] = samples
    return pcm


def spans(side: NDArray[np.int16]) -> list[tuple[int, float, float]]:
    """What a side holds besides silence: the value, and from when to when in seconds."""
    edges = np.flatnonzero(np.diff(side.astype(np.int32), prepend=0, append=0))
    found = [(int(side[start]), start / RATE, end / RATE) for start, end in pairwise(edges)]
    return [span for span in found if span[0]]


def run(test: Callable[[], Awaitable[None]]) -> None:
    run_virtual(test, limit_s=100)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def test_both_sides_are_in_the_file_where_they_were_heard(studio: Studio, tmp_path: Path) -> None:
    async def test() -> None:
        recording = studio.begin()
        await speak(recording, 1.0, bot=1)
        await speak(recording, 2.0, caller=2)
        await speak(recording, 0.5, caller=3, bot=4)  # a barge-in: both at once
        await speak(recording, 1.5, caller=5)
        recording.close()
        await studio.recorder.close()

    run(test)
    assert studio.finished == [("call-1", NAME)]
    pcm = read(tmp_path / NAME)
    assert spans(pcm[:, 0]) == [(2, 1.0, 3.0), (3, 3.0, 3.5), (5, 3.5, 5.0)]
    assert spans(pcm[:, 1]) == [(1, 0.0, 1.0), (4, 3.0, 3.5)]
    assert len(pcm) / RATE == 5.0


def test_the_file_is_whole_while_the_call_goes_on(studio: Studio, tmp_path: Path) -> None:
    async def test() -> None:
        recording = studio.begin()
        for second in range(1, 6):
            await speak(recording, 1.0, caller=second)
            await asyncio.sleep(0.01)
            if second > 2:
                assert len(read(tmp_path / NAME)) / RATE >= second - 2
        await studio.recorder.close()

    run(test)
    assert spans(read(tmp_path / NAME)[:, 0])[-1] == (5, 4.0, 5.0)


def test_a_stall_of_the_network_or_the_loop_leaves_no_mark(studio: Studio, tmp_path: Path) -> None:
    async def test() -> None:
        recording = studio.begin()
        await speak(recording, 1.0, caller=1)
        await asyncio.sleep(0.6)
        for _ in range(30):
            recording.caller(sound(2))
        for _ in range(30):  # the beats that were missed are played at once
            recording.bot(sound(3))
        await speak(recording, 1.0, caller=4, bot=5)
        recording.close()
        await studio.recorder.close()

    run(test)
    pcm = read(tmp_path / NAME)
    assert spans(pcm[:, 0]) == [(1, 0.0, 1.0), (2, 1.0, 1.6), (4, 1.6, 2.6)]
    [_, (_, begin, end)] = bot = spans(pcm[:, 1])
    assert [value for value, *_ in bot] == [3, 5]
    assert begin == pytest.approx(1.6, abs=0.35)
    assert end - begin == pytest.approx(1.0)


def test_a_recording_that_was_ended_goes_on_in_the_same_file(studio: Studio, tmp_path: Path) -> None:
    async def test() -> None:
        recording = studio.begin()
        await speak(recording, 1.0, caller=1)
        recording.close()
        recording.close()
        await speak(recording, 1.0, caller=2)  # a card number, say
        again = studio.begin()
        await speak(again, 1.0, caller=3)
        again.close()
        await studio.recorder.close()

    run(test)
    assert spans(read(tmp_path / NAME)[:, 0]) == [(1, 0.0, 1.0), (3, 2.0, 3.0)]
    assert studio.finished == [("call-1", NAME)] * 2


def test_calls_are_recorded_each_in_its_own_file_and_ended_with_the_gateway(
    studio: Studio, tmp_path: Path
) -> None:
    async def test() -> None:
        recordings = [studio.begin(CallInfo("front-desk", f"call-{number}")) for number in range(20)]
        await asyncio.gather(*(speak(recording, 0.5, caller=7) for recording in recordings))
        await studio.recorder.close()
        assert studio.recorder.begin(CallInfo("front-desk", "late"), RATE) is None

    run(test)
    assert len(studio.finished) == 20
    assert all(spans(read(tmp_path / path)[:, 0]) == [(7, 0.0, 0.5)] for _, path in studio.finished)


def test_an_id_that_makes_no_file_name_is_not_recorded(studio: Studio, tmp_path: Path) -> None:
    async def test() -> None:
        assert studio.recorder.begin(CallInfo("front-desk", "../../etc/passwd"), RATE) is None

    run(test)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_once_and_the_recording_goes_on_when_there_is_room(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = False
    write = GrowingWav.write

    def writes(file: GrowingWav, upto: int, left: list[Piece], right: list[Piece]) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, upto, left, right)

    monkeypatch.setattr(GrowingWav, "write", writes)
    said: list[str] = []

    async def test() -> None:
        nonlocal full
        recording = studio.begin()
        await speak(recording, 3.0, caller=1)
        full = True
        await speak(recording, 4.0, caller=2)
        full = False
        await speak(recording, 4.0, caller=3)
        recording.close()
        await studio.recorder.close()

    handler = logger.add(said.append, level="INFO", filter="piopiy_pipeline.gateway.recordings.recorder")
    try:
        run(test)
    finally:
        logger.remove(handler)
    assert [("No space left on device" in line, "written again" in line) for line in said] == [
        (True, False),
        (False, True),
    ]
    assert studio.recorder.lost_s == pytest.approx(4, abs=0.2)
    assert spans(read(tmp_path / NAME)[:, 0])[-1] == (3, 7.0, 11.0), "and what came later is in its place"


class StalledRecorder(GatewayRecorder):
    """A disk that never answers."""

    waiting_s = 0.0

    def write(
        self, file: GrowingWav, upto: int, caller: list[Piece], bot: list[Piece], last: bool
    ) -> asyncio.Future[None]:
        self.waiting_s += sum(len(pcm) for _, pcm in caller) / 2 / RATE
        return asyncio.get_running_loop().create_future()


def test_a_folder_that_cannot_be_written_is_told_at_the_start_and_not_by_the_first_call(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").touch()

    async def problems(**more: Any) -> list[str]:
        settings = config(api_keys=[API_KEY], records=False, **more)
        async with Gateway(settings) as gateway, client(gateway) as web:
            found: list[str] = (await web.get("/api/info")).json()["problems"]
            assert ("recordings of calls are being lost" in (await web.get("/healthz")).text) is bool(found)
            return found

    [said] = asyncio.run(problems(record=True, data_folder=tmp_path / "data"))
    assert (
        f"recordings: cannot write in {tmp_path / 'data' / 'recordings'}: Not a directory. Calls go on"
        in said
    )
    assert asyncio.run(problems(record=False, data_folder=tmp_path / "data")) == []
    assert asyncio.run(problems(record=True, data_folder=tmp_path / "other")) == []
    assert list((tmp_path / "other" / "recordings").iterdir()) == []


def test_a_disk_that_stalls_loses_sound_and_holds_neither_memory_nor_the_end(tmp_path: Path) -> None:
    studio = Studio(tmp_path, StalledRecorder)

    async def test() -> None:
        loop = asyncio.get_running_loop()
        recording = studio.begin()
        await speak(recording, 30.0, caller=1)
        before = loop.time()
        await studio.recorder.close()
        assert loop.time() - before < 5

    run(test)
    assert isinstance(studio.recorder, StalledRecorder)
    assert studio.recorder.waiting_s < 2 * WAITING_S
    assert studio.recorder.waiting_s + studio.recorder.lost_s == pytest.approx(30, abs=0.1)
    assert studio.finished == []


class SlowRecorder(GatewayRecorder):
    """A disk that takes a little longer for each write than there is time until the next one."""

    WRITE_TAKES_S = WRITE_S + 0.05
    on_disk = 0

    def write(
        self, file: GrowingWav, upto: int, caller: list[Piece], bot: list[Piece], last: bool
    ) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        job: asyncio.Future[None] = loop.create_future()

        def done() -> None:
            self.on_disk = upto
            job.set_result(None)

        loop.call_later(self.WRITE_TAKES_S, done)
        return job


def test_on_a_slow_disk_a_write_follows_the_last_one_at_once(tmp_path: Path) -> None:
    studio = Studio(tmp_path, SlowRecorder)
    lacks_s: list[float] = []

    async def test() -> None:
        recorder = studio.recorder
        assert isinstance(recorder, SlowRecorder)
        recording = studio.begin()
        for frame in range(1, 1000):
            await speak(recording, 0.02, bot=1)
            lacks_s.append(frame * 0.02 - recorder.on_disk / RATE)
        await recorder.close()

    run(test)
    assert max(lacks_s) <= HOLD_S + 2 * SlowRecorder.WRITE_TAKES_S + 0.1, "what a kill would cost"
    assert studio.recorder.lost_s == 0


def test_a_call_that_was_recorded_is_on_record_with_its_recording(tmp_path: Path) -> None:
    """Over real sockets, from the answer to the file."""

    async def test() -> None:
        settings = config(records=True, record=True, data_folder=tmp_path, console="open", webrtc_workers=0)
        async with Gateway(settings) as gateway, agent(gateway) as bot:
            async with caller(gateway) as person:
                offer, media = await bot.take()
                await person.hear("answered")
                await person.socket.send(sound(1, 3200))
                await media.hear_audio(1)
                await media.socket.send(sound(2, 3200))
                await person.hear_audio(10)
            await gateway.ready()
            address = f"http://127.0.0.1:{gateway.port}/api/calls/{offer['call_id']}"
            async with httpx.AsyncClient() as client:
                async with asyncio.timeout(10):
                    while not (detail := (await client.get(address)).json())["call"]["recorded"]:
                        assert detail["call"]["reason"] in (None, "caller_hangup")
                recording = (await client.get(f"{address}/recording")).raise_for_status()
        (tmp_path / "heard.wav").write_bytes(recording.content)

    asyncio.run(test())
    pcm = read(tmp_path / "heard.wav")
    assert np.count_nonzero(pcm, axis=0).tolist() == [3200, 3200]


def test_a_recording_has_what_was_heard_of_speech_that_was_held(tmp_path: Path) -> None:
    said = (np.arange(6400) % 3000 + 1000).astype("<i2")

    async def test() -> None:
        settings = config(records=True, record=True, data_folder=tmp_path, console="open", webrtc_workers=0)
        async with Gateway(settings) as gateway, agent(gateway) as bot:
            async with caller(gateway) as person:
                offer, media = await bot.take(bot_rate=16000)
                await person.hear("answered")
                await media.socket.send(said.tobytes())
                await media.hear("played")
                await media.say(event="hold", epoch=0)
                held = await media.hear("held")
                await person.hear_audio(held["position"] // 320 + 1)  # the fade, too
                await media.say(event="resume")
                while not (await media.hear("played"))["dry"]:
                    pass
            await gateway.ready()
            address = f"http://127.0.0.1:{gateway.port}/api/calls/{offer['call_id']}"
            async with httpx.AsyncClient() as client:
                async with asyncio.timeout(10):
                    while not (await client.get(address)).json()["call"]["recorded"]:
                        pass
                recording = (await client.get(f"{address}/recording")).raise_for_status()
        (tmp_path / "heard.wav").write_bytes(recording.content)

    asyncio.run(test())
    bot_side = read(tmp_path / "heard.wav")[:, 1]
    assert bot_side.astype(int).sum() == said.astype(int).sum(), "both fades, and everything else once"
    heard = bot_side[np.flatnonzero(bot_side)[0] : np.flatnonzero(bot_side)[-1] + 1]
    assert heard.size > said.size, "the frame that faded out has come once more, fading in"


@pytest.mark.parametrize(
    ("call_id", "closed", "why"),
    [("../../etc/passwd", False, "file name"), ("", False, "file name"), ("call-1", True, "shutting down")],
)
def test_what_cannot_be_recorded_is_told_with_the_reason(
    call_id: str, closed: bool, why: str, tmp_path: Path
) -> None:
    said: list[str] = []

    async def test() -> None:
        recorder = GatewayRecorder(tmp_path / "recordings")
        if closed:
            await recorder.close()
        assert recorder.begin(CallInfo("front-desk", call_id), RATE) is None
        await recorder.close()

    handler = logger.add(said.append, format="{message}")
    try:
        asyncio.run(test())
    finally:
        logger.remove(handler)
    (line,) = said
    assert why in line
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_is_deleted_is_told_and_goes_on_in_a_new_file(tmp_path: Path) -> None:
    said: list[str] = []

    async def test() -> None:
        studio = Studio(tmp_path / "new" / "recordings")
        recording = studio.begin()
        await speak(recording, 4, caller=1)
        shutil.rmtree(tmp_path / "new")
        await speak(recording, 3, caller=2)
        assert studio.recorder.problem == "", "it works again"
        recording.close()
        await studio.recorder.close()
        assert 0 < studio.recorder.lost_s < 2.5

    handler = logger.add(said.append, level="INFO", filter="piopiy_pipeline.gateway.recordings")
    try:
        run_virtual(test)
    finally:
        logger.remove(handler)
    assert len([line for line in said if "was deleted or moved while it was written" in line]) == 1
    assert len([line for line in said if "written again" in line]) == 1
    path = tmp_path / "new" / "recordings" / NAME
    samples, _ = soundfile.read(path, dtype="int16")
    assert len(samples) == pytest.approx(7 * RATE, abs=RATE)
    assert (samples[-RATE:, 0] == 2).sum() > RATE / 2
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_call_that_has_ended_is_forgotten_and_its_recording_is_complete(studio: Studio) -> None:
    async def story() -> None:
        call = CallEvents(INFO.call_id)
        recording = studio.begin()
        await speak(recording, 1, caller=100)
        gone = weakref.ref(recording)
        del recording
        for event in (call.placed(), call.event(), call.ended(105)):
            studio.recorder.on_event(event)
        await asyncio.sleep(1)
        assert studio.finished == [(INFO.call_id, NAME)]
        gc.collect()
        assert gone() is None
        await studio.recorder.close()

    run_virtual(story)
