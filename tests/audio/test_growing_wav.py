"""A file that grows is a whole WAV file after every write."""

from __future__ import annotations

import errno
from array import array
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from piopiy_pipeline.audio.growing_wav import GrowingWav


def sound(value: int, samples: int) -> bytes:
    return array("h", [value] * samples).tobytes()


def read(path: Path) -> NDArray[np.int16]:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 8000
    pcm: NDArray[np.int16] = samples
    return pcm


def test_both_sides_are_where_they_were_put_after_every_write(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(100, [(10, sound(1, 20))], [(50, sound(2, 50))])
    first = read(file.path)
    assert first.shape == (100, 2)
    assert np.flatnonzero(first[:, 0] == 1).tolist() == list(range(10, 30))
    assert np.flatnonzero(first[:, 1] == 2).tolist() == list(range(50, 100))
    file.write(150, [(100, sound(3, 50))], [])
    second = read(file.path)
    assert (second[:100] == first).all()
    assert (second[100:] == [3, 0]).all()
    file.close()
    assert (read(file.path) == second).all()


def test_a_long_silence_costs_no_memory_and_no_disk(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    hour = 3600 * 8000
    file.write(hour, [(hour - 10, sound(1, 10))], [])
    file.write(2 * hour, [], [])
    file.close()
    assert soundfile.info(file.path).frames == 2 * hour
    assert file.path.stat().st_blocks * 512 < 1 << 20
    tail, _ = soundfile.read(file.path, start=hour - 20, frames=40, dtype="int16")
    assert tail[:, 0].tolist() == [0] * 10 + [1] * 10 + [0] * 20


def test_what_lies_outside_of_a_write_is_left_out(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(10, [(0, sound(1, 10))], [])
    file.write(20, [(5, sound(2, 10)), (18, sound(3, 10))], [])
    assert read(file.path)[:, 0].tolist() == [1] * 10 + [2] * 5 + [0] * 3 + [3] * 2
    file.close()


def test_a_write_that_failed_is_silence_once_another_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(10, [(0, sound(1, 10))], [])
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(OSError, match="No space"):
            file.write(20, [(10, sound(2, 10))], [])
        assert len(read(file.path)) == 10, "what there was is still a whole file"
    file.write(30, [(20, sound(3, 10))], [])
    file.close()
    assert read(file.path)[:, 0].tolist() == [1] * 10 + [0] * 10 + [3] * 10


def test_it_can_be_closed_and_go_on_later_but_takes_no_file_that_was_there(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(10, [(0, sound(1, 10))], [])
    file.close()
    file.close()
    file.write(30, [], [(20, sound(2, 10))])
    file.close()
    assert read(file.path).tolist() == [[1, 0]] * 10 + [[0, 0]] * 10 + [[0, 2]] * 10
    with pytest.raises(FileExistsError):
        GrowingWav(tmp_path / "call.wav", 8000).write(10, [], [])


def test_a_file_that_was_there_can_be_replaced_for_all_to_read(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, np.ones(100, np.int16), 8000)
    file = GrowingWav(path, 8000, replace=True, mode=0o666)
    file.write(0)
    assert read(path).shape == (0, 2)
    file.write(10, [(0, sound(1, 10))])
    file.close()
    assert read(path).tolist() == [[1, 0]] * 10


def test_of_two_pieces_at_one_place_the_later_one_stays(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(10, [(0, sound(1, 10)), (4, sound(2, 3))], [])
    file.close()
    assert read(file.path)[:, 0].tolist() == [1] * 4 + [2] * 3 + [1] * 3


def test_one_channel_is_enough(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000, channels=1)
    file.write(10, [(5, sound(1, 5))])
    file.write(20, [(10, sound(2, 10))])
    file.close()
    assert read(file.path).tolist() == [[0]] * 5 + [[1]] * 5 + [[2]] * 10


def test_more_than_a_wav_file_holds_is_an_error(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    with pytest.raises(OSError, match="4 GiB"):
        file.write(1 << 30, [], [])
    assert not file.path.exists()


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    file = GrowingWav(tmp_path / "call.wav", 8000)
    file.write(10, [], [])
    file.close()
    assert file.path.stat().st_mode & 0o077 == 0
