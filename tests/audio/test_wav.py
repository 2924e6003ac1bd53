"""WAV files are read as mono at the rate that is wanted; what is none is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from piopiy_pipeline.audio.wav import WavError, read_wav


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    samples = np.zeros(800)
    samples[400] = bad
    soundfile.write(tmp_path / "bad.wav", samples, 8000, subtype="DOUBLE")
    with pytest.raises(WavError, match="samples that are no numbers"):
        read_wav(tmp_path / "bad.wav", 16000)


def test_more_channels_than_a_recording_has_are_refused(tmp_path: Path) -> None:
    for channels, message in ((8, ""), (9, "has 9 channels, and 8 are the limit")):
        path = tmp_path / "many.wav"
        soundfile.write(path, np.zeros((800, channels), np.int16), 8000)
        if not message:
            assert len(read_wav(path, 8000)) == 800
            continue
        with pytest.raises(WavError, match=message):
            read_wav(path, 8000)


def test_so_few_samples_that_nothing_would_be_heard_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.ones(1, np.int16), 48_000)
    with pytest.raises(WavError, match="holds no audio: 1 samples at 48000 Hz"):
        read_wav(tmp_path / "one.wav", 16000)


@pytest.mark.parametrize(
    ("channels", "rate", "message"),
    [
        (1, 8000, "longer than 600 s; cut it into turns"),
        (1, 192_000_000, "at 192000000 Hz are too large: a caller's turn is mono"),
        (200, 16_000, "of 200 channels at 16000 Hz are too large"),
    ],
)
def test_a_file_that_would_take_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, channels: int, rate: int, message: str
) -> None:
    path = tmp_path / "turn.wav"
    soundfile.write(path, np.zeros((1, channels), np.int16), rate)
    size = 2_000_000_000
    header = bytearray(path.read_bytes()[:44])
    header[4:8], header[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(44 + size)  # it takes no room on the disk
    with pytest.raises(WavError, match=message):
        read_wav(path, 16000)


def _promising(path: Path, size: int) -> Path:
    """Half a second of sound, whose header promises so many bytes."""
    soundfile.write(path, tone(0.5, 16000), 16000)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    data[40:44] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def test_a_file_that_ends_before_the_sound_that_its_header_promises_is_cut_off(tmp_path: Path) -> None:
    path = _promising(tmp_path / "turn.wav", 64_000)
    with pytest.raises(WavError, match=r"turn.wav: it is cut off: 0.50 s of 2.00 s are there"):
        read_wav(path, 16000)
    soundfile.write(path, tone(0.5, 16000), 16000, format="RF64")
    path.write_bytes(path.read_bytes()[:-8_000])
    with pytest.raises(WavError, match=r"it is cut off: 0.25 s of 0.50 s are there"):
        read_wav(path, 16000)
    soundfile.write(path, tone(0.5, 16000), 16000, endian="BIG")
    path.write_bytes(path.read_bytes()[:-8_000])
    with pytest.raises(WavError, match=r"it is cut off: 0.25 s of 0.50 s are there"):
        read_wav(path, 16000)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFDB, 16_000 + 44])
def test_a_header_that_does_not_know_the_length_is_read_to_the_end(tmp_path: Path, size: int) -> None:
    assert len(read_wav(_promising(tmp_path / "turn.wav", size), 16000)) == 8000


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"ID3\x04" + bytes(2000), "it is MP3"),
        (b"\xff\xfb\x90\x64" + bytes(2000), "it is MP3 or AAC"),
        (b"OggS" + bytes(2000), "it is Ogg"),
        (b"a letter to whom it may concern", "it does not begin as one"),
        (b"", "it is empty"),
    ],
)
def test_another_format_is_told_by_its_beginning_and_no_decoder_writes(
    tmp_path: Path, content: bytes, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "turn.wav"
    path.write_bytes(content)
    with pytest.raises(WavError, match=rf"turn.wav: not a WAV file \({what}\)"):
        read_wav(path, 16000)
    assert capfd.readouterr().err == ""
