"""WAV files: turns in, both sides of a call out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from piopiy_pipeline.audio.wav import StereoWavWriter, WavError, read_wav


def tone(seconds: float, rate: int, hertz: float = 300) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


@pytest.mark.parametrize("source_rate", [8000, 16000, 24000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_any_common_recording_becomes_mono_at_the_wanted_rate(
    tmp_path: Path, source_rate: int, channels: int, rate: int
) -> None:
    path = tmp_path / "turn.wav"
    soundfile.write(path, np.column_stack([tone(0.5, source_rate)] * channels), source_rate)
    pcm = read_wav(path, rate)
    assert pcm.dtype == np.int16
    assert pcm.shape == (rate // 2,)
    middle = slice(rate // 8, rate // 4)
    assert np.abs(pcm[middle].astype(int) - tone(0.5, rate)[middle]).max() < 100


def test_a_recording_at_the_wanted_rate_is_read_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "turn.wav"
    pcm = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
    soundfile.write(path, pcm, 16000)
    assert np.array_equal(read_wav(path, 16000), pcm)


def test_the_two_channels_of_a_stereo_turn_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "turn.wav"
    soundfile.write(path, np.array([[100, 300], [-200, 0]], np.int16), 16000)
    assert read_wav(path, 16000).tolist() == [200, -100]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is text and no sound", "not a WAV file"),
        (b"", "not a WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVE", "not a WAV file"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_reason(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "letter.wav"
    path.write_bytes(content)
    with pytest.raises(WavError, match=message) as caught:
        read_wav(path, 16000)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_files_folders_other_formats_and_empty_recordings_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WavError, match="no such file"):
        read_wav(tmp_path / "none.wav", 16000)
    with pytest.raises(WavError, match="not a WAV file"):
        read_wav(tmp_path, 16000)
    soundfile.write(tmp_path / "a.flac", tone(0.1, 16000), 16000)
    with pytest.raises(WavError, match=r"not a WAV file .*FLAC"):
        read_wav(tmp_path / "a.flac", 16000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.int16), 16000)
    with pytest.raises(WavError, match="holds no audio"):
        read_wav(tmp_path / "empty.wav", 16000)


def test_both_sides_land_where_they_were_placed(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with StereoWavWriter(path, 8000) as writer:
        writer.write("left", 0, np.full(160, 1, np.int16))
        writer.write("right", 100, np.full(160, 2, np.int16))
        writer.write("left", 400, np.full(10, 3, np.int16))
    sound, rate = soundfile.read(path, dtype="int16")
    assert rate == 8000
    assert sound.shape == (410, 2)
    assert sound[:160, 0].tolist() == [1] * 160
    assert not sound[160:400, 0].any()
    assert sound[400:, 0].tolist() == [3] * 10
    assert not sound[:100, 1].any()
    assert sound[100:260, 1].tolist() == [2] * 160


def test_a_call_longer_than_the_window_is_written_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = StereoWavWriter(path, 8000, window_s=0.5)
    for frame in range(200):
        writer.write("left", frame * 160, np.full(160, frame + 1, np.int16))
        writer.advance(frame * 160 - 800)
    writer.write("right", 10 * 8000, np.ones(8000, np.int16))  # twice the window, six seconds ahead
    writer.close()
    writer.close()
    sound, _ = soundfile.read(path, dtype="int16")
    assert sound.shape == (11 * 8000, 2)
    assert np.array_equal(sound[: 200 * 160, 0], np.repeat(np.arange(1, 201), 160))
    assert sound[10 * 8000 :, 1].all()
    assert not sound[: 10 * 8000, 1].any()


def test_audio_for_what_is_already_on_disk_is_lost_and_the_rest_of_it_kept(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with StereoWavWriter(path, 8000) as writer:
        writer.advance(100)
        writer.write("right", 50, np.full(100, 7, np.int16))
    sound, _ = soundfile.read(path, dtype="int16")
    assert sound.shape == (150, 2)
    assert not sound[:100, 1].any()
    assert sound[100:, 1].tolist() == [7] * 50


def test_a_path_that_cannot_be_written_is_an_error_before_the_call(tmp_path: Path) -> None:
    with pytest.raises(WavError, match=r"call\.wav: cannot be written"):
        StereoWavWriter(tmp_path / "no" / "folder" / "call.wav", 8000)
