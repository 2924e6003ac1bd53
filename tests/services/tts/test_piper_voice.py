"""A piper voice that is cut in two says what it said in one piece; one that is not the right one says nothing."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from piopiy_pipeline.onnx_graph import OnnxGraph
from piopiy_pipeline.services.tts.encoded_sentence import EncodedSentence
from piopiy_pipeline.services.tts.piper_files import PiperVoiceFiles, find_piper_voice
from piopiy_pipeline.services.tts.piper_voice import LEVEL_DBFS, LoadedPiperVoice
from piopiy_pipeline.services.tts.piper_worker import MAX_TEXT, PiperVoices

FILES = find_piper_voice()
TEXT = "Hello! A table for 12 people, on Friday at 7:30. Dr. Smith's café - okay?"


@pytest.fixture(scope="module")
def voices() -> PiperVoices:
    voices = PiperVoices()
    voices.load(FILES)
    return voices


@pytest.fixture(scope="module")
def voice(voices: PiperVoices) -> LoadedPiperVoice:
    return voices._voice(FILES)


def _encode(voices: PiperVoices, text: str) -> list[EncodedSentence]:
    voice = voices._voice(FILES)
    return [voice.encode(read, 1.0) for read in voice.read(text)]


def _say(voices: PiperVoices, text: str, rate: int = 16_000, speed: float = 1.0) -> tuple[bytes, list[str]]:
    pcm, words = bytearray(), []
    for read in voices.read(FILES, text):
        sentence = voices._voice(FILES).encode(read, speed)
        words += [word for word, _ in sentence.words]
        for chunk, latents in sentence.chunks(rate):
            pcm += voices.decode(FILES, latents, chunk, rate)
    return bytes(pcm), words


def _level(pcm: bytes) -> float:
    audio = np.frombuffer(pcm, np.int16)[: len(pcm) // 640 * 320].reshape(-1, 320) / 32_768
    power = (audio**2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 100].mean()))


def test_the_first_audio_comes_with_the_sentence(voices: PiperVoices) -> None:
    sentence, first, further = voices.begin(FILES, "How can I help you? Just say it.", 1.0, 16_000)
    assert sentence
    chunk, latents = next(sentence.chunks(16_000))
    assert first == voices.decode(FILES, latents, chunk, 16_000) != b""
    assert [[word for word, _ in each.words] for each in further] == [["Just", "say", "it."]]
    assert voices.begin(FILES, "-", 1.0, 16_000) == (None, b"", [])


def test_without_noise_the_two_halves_are_the_whole_to_the_bit(voice: LoadedPiperVoice) -> None:
    """The models are cut, and nothing is computed otherwise: piper's own session is the reference."""
    ids = voice._piper.phonemes_to_ids(voice._piper.phonemize("A table for four on Friday.")[0])
    given = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array([0, 1, 0], np.float32),
    }
    whole = onnxruntime.InferenceSession(FILES.model, providers=["CPUExecutionProvider"]).run(None, given)[0]
    silent = {name: np.zeros((1, 192, 600), np.float32) for name in voice._noises}
    latents, durations = voice._encoder.run(None, {**given, **silent})
    (cut,) = voice._decoder.run(None, {voice._latents: latents})
    assert int(durations.sum()) * 256 == whole.shape[-1]
    assert np.abs(cut - whole).max() < 1e-5


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_chunks_sound_as_if_they_were_decoded_at_once(voices: PiperVoices, rate: int) -> None:
    (sentence,) = _encode(voices, "A table for four people, on Friday at seven in the evening?")
    plan = list(sentence.chunks(rate))
    assert len(plan) >= 3
    pcm = b"".join(voices.decode(FILES, latents, chunk, rate) for chunk, latents in plan)
    whole = voices.decode(
        FILES,
        sentence.latents,
        type(plan[0][0])(
            frames=(0, sentence.latents.shape[1]),
            skip=sentence.begin * 256,
            samples=(sentence.end - sentence.begin) * 256,
            out=(0, len(pcm) // 2),
            first=True,
            last=True,
        ),
        rate,
    )
    edge = rate // 50  # there the whole's resampler has nothing before and after
    difference = np.frombuffer(pcm, np.int16).astype(int) - np.frombuffer(whole, np.int16)
    assert np.abs(difference[edge:-edge]).max() <= 2


def test_the_same_text_is_the_same_audio_whatever_was_said_before(voices: PiperVoices) -> None:
    first = _say(voices, TEXT)
    _say(voices, "Something else.")
    assert _say(voices, TEXT) == first
    assert _say(PiperVoices(), TEXT) == first


def test_words_are_the_texts_own_and_their_times_never_go_back(voices: PiperVoices) -> None:
    words = [word for sentence in _encode(voices, TEXT) for word, _ in sentence.words]
    assert words == TEXT.split()
    for sentence in _encode(voices, TEXT):
        times = [second for _, second in sentence.words]
        assert times == sorted(times)
        assert 0 <= times[0] < 0.1
        assert times[-1] < (sentence.end - sentence.begin) * 256 / 22_050


def test_speech_begins_and_ends_without_a_long_silence(voices: PiperVoices) -> None:
    audio = np.abs(np.frombuffer(_say(voices, "A table for four people.")[0], np.int16).astype(int))
    loud = np.flatnonzero(audio > 300)
    assert loud[0] < 0.1 * 16_000
    assert len(audio) - loud[-1] < 0.2 * 16_000


@pytest.mark.parametrize(
    "text", ["Yes.", "How can I help you today?", "We are open from nine to five on weekdays."]
)
def test_every_sentence_is_about_as_loud_and_nothing_is_cut_off(voices: PiperVoices, text: str) -> None:
    pcm, _ = _say(voices, text)
    assert abs(_level(pcm) - LEVEL_DBFS) < 2.5
    assert np.abs(np.frombuffer(pcm, np.int16).astype(int)).max() < 32_767


def test_faster_is_shorter(voices: PiperVoices) -> None:
    slow, fast = (_say(voices, "A table for four people.", speed=speed)[0] for speed in (0.6, 1.8))
    assert len(fast) < 0.5 * len(slow)


@pytest.mark.parametrize("text", ["", "-", "...", "🎉", "x" * 300, "12345678901234567890 " * 4, "[[", "\0\n"])
def test_odd_texts_do_no_harm(voices: PiperVoices, text: str) -> None:
    pcm, words = _say(voices, text)
    assert words in ([], text.split())
    assert len(pcm) < 600 * 32_000


def test_a_text_that_is_too_long_is_refused(voices: PiperVoices) -> None:
    with pytest.raises(ValueError, match="at most 2000 are taken"):
        voices.begin(FILES, "x" * (MAX_TEXT + 1), 1.0, 16_000)


def test_a_voice_whose_hash_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.onnx"
    path.write_bytes(b"not the voice")
    Path(f"{path}.json").write_text("{}")
    with pytest.raises(ValueError, match=r"voice\.onnx is not loaded, because its SHA-256 is "):
        PiperVoices().load(PiperVoiceFiles(str(path), FILES.sha256))


def test_a_configuration_whose_hash_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.onnx"
    path.symlink_to(FILES.model)
    Path(f"{path}.json").write_text("{}")
    with pytest.raises(ValueError, match=r"voice\.onnx\.json is not loaded"):
        PiperVoices().load(PiperVoiceFiles(str(path), FILES.sha256))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\x7f", b"\x3a\x02\x0a\x00"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxGraph(content)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("{", "is not the configuration of a piper voice: Expecting"),
        ("[]", "is not the configuration of a piper voice: it is built otherwise"),
        ("{}", "is not the configuration of a piper voice: it has no '"),
    ],
)
def test_a_broken_configuration_is_named_with_its_file(tmp_path: Path, config: str, why: str) -> None:
    path = tmp_path / "mine.onnx"
    path.symlink_to(FILES.model)
    Path(f"{path}.json").write_text(config)
    with pytest.raises(ValueError, match=r"mine\.onnx\.json ") as caught:
        PiperVoices().load(PiperVoiceFiles(str(path)))
    assert why in str(caught.value)


def test_a_model_that_is_cut_off_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(Path(FILES.model).read_bytes()[:100_000])
    Path(f"{path}.json").symlink_to(f"{FILES.model}.json")
    with pytest.raises(ValueError, match=r"mine\.onnx is not an ONNX model: it is cut off"):
        PiperVoices().load(PiperVoiceFiles(str(path)))
