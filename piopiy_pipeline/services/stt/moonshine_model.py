"""The moonshine speech model: samples in, words with their probabilities out.

The model's files are run with onnxruntime, and not with the library of moonshine-voice that they come with:
the same words cost a quarter of the CPU, each word has a probability (the library has none for the model in
its wheel), and no second voice detection cuts the audio (it makes words of the pieces: "You", "I").

The way of decoding follows `core/moonshine-model.cpp` of https://github.com/moonshine-ai/moonshine (MIT).
Jeffries et al., Moonshine: Speech Recognition for Live Transcription and Voice Commands, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from piopiy_pipeline.services.stt.moonshine_files import SPACE, read_tokens

__all__ = ["MANY_TOKENS_A_SECOND", "RATE", "TOKENS_A_SECOND", "MoonshineModel", "Transcript", "Word"]

RATE = 16_000
"""Sample rate of the model's audio in Hz."""
TOKENS_A_SECOND = 6.5
"""The most that people say; more is a model that repeats itself. The library's own bound for English."""
MANY_TOKENS_A_SECOND = 13.0
"""The same for languages in other scripts, whose words are of more tokens."""
SPARE_TOKENS = 6
"""For the end of a short answer: "seven thirty" is four tokens in 0.6 s."""

_START, _END = 1, 2  # tokens

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, with its punctuation."""

    text: str
    probability: float
    """Of its least likely part, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a piece of audio."""

    words: list[Word]
    tokens: tuple[int, ...]
    """The same, in the model's own terms, without the end."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence that may have been said, as far as it is decoded."""

    tokens: tuple[int, ...]
    logs: tuple[float, ...]  # of each token's probability
    log: float  # their sum

    @property
    def last(self) -> int:
        return self.tokens[-1] if self.tokens else _START


class MoonshineModel:
    """One model, on one CPU thread.

    Args:
        folder: The folder of its files.
        tokens_a_second: The most that are said in a second of speech.
    """

    def __init__(self, folder: Path, *, tokens_a_second: float = TOKENS_A_SECOND) -> None:
        self._tokens_a_second = tokens_a_second
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1

        def session(name: str) -> onnxruntime.InferenceSession:
            return onnxruntime.InferenceSession(
                str(folder / name), sess_options=options, providers=["CPUExecutionProvider"]
            )

        self._encoder = session("encoder_model.ort")
        self._decoder = session("decoder_model_merged.ort")
        self._tokens = read_tokens((folder / "tokenizer.bin").read_bytes())
        self._cached = [(each.name, each.shape) for each in self._decoder.get_inputs() if "." in each.name]
        self._outputs = [each.name for each in self._decoder.get_outputs()]

    def transcribe(self, samples: FloatArray, *, beams: int = 1, said: Sequence[int] = ()) -> Transcript:
        """Return what is said.

        Args:
            samples: Mono at 16 kHz, 1.0 at full scale, at least 0.1 and at most about 30 s of speech.
            beams: How many sentences are followed at a time. Three instead of one cost 30% more, and a quarter
                of the word errors goes.
            said: The tokens of the beginning, if it has been transcribed before: only what follows is returned.
        """
        audio = samples[np.newaxis]
        (states,) = self._encoder.run(
            None, {"input_values": audio, "attention_mask": np.ones(audio.shape, np.int64)}
        )
        most = SPARE_TOKENS + math.ceil(self._tokens_a_second * len(samples) / RATE)
        best = self._search(states, beams, max(SPARE_TOKENS, most - len(said)), said)
        tokens = tuple(token for token in best.tokens if token != _END)
        return Transcript(self._words(best.tokens, best.logs), tokens)

    def _search(self, states: FloatArray, beams: int, most: int, said: Sequence[int]) -> _Sentence:
        """Return the most likely of the sentences that a beam search finds behind what was said."""
        caches: dict[str, FloatArray] = {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in self._cached
        }
        open_sentences = [_Sentence((), (), 0.0)]
        best: _Sentence | None = None
        for length in range(most):
            width = len(open_sentences)
            logits, *after = self._decoder.run(
                None,
                {
                    **caches,
                    "input_ids": np.array(
                        [[each.last] for each in open_sentences] if length else [[_START, *said]], np.int64
                    ),
                    "encoder_hidden_states": np.repeat(states, width, axis=0),
                    # It is taken at every 384th sample of the audio; one sample stands for all of it.
                    "encoder_attention_mask": np.ones((width, 1), np.int64),
                    "use_cache_branch": np.array([length > 0]),
                },
            )
            going_on: list[tuple[int, _Sentence]] = []
            for origin, sentence in _likeliest(open_sentences, logits[:, -1], beams):
                if sentence.last != _END:
                    going_on.append((origin, sentence))
                elif best is None or sentence.log > best.log:
                    best = sentence
            # A sentence only becomes less likely as it grows.
            going_on = [each for each in going_on if best is None or each[1].log > best.log][:beams]
            if not going_on:
                break
            origins = [origin for origin, _ in going_on]
            open_sentences = [sentence for _, sentence in going_on]
            for name, cache in zip(self._outputs[1:], after, strict=True):
                key = name.replace("present", "past_key_values")
                if ".decoder." in name:
                    caches[key] = cache if origins == list(range(width)) else cache[origins]
                elif length == 0:  # the encoder's are the same for every token and sentence
                    caches[key] = np.repeat(cache, len(origins), axis=0)
                elif len(caches[key]) != len(origins):
                    caches[key] = np.repeat(caches[key][:1], len(origins), axis=0)
        return best or open_sentences[0]

    def _words(self, tokens: Sequence[int], logs: Sequence[float]) -> list[Word]:
        parts: list[tuple[bytes, float]] = []
        for token, log in zip(tokens, logs, strict=True):
            piece = self._tokens[token]
            if token == _END or (piece.startswith(b"<") and piece.endswith(b">") and len(piece) > 2):
                continue
            if not parts or piece.startswith(SPACE.encode()):
                parts.append((piece, log))
            else:
                sure = log if any(c.isalnum() for c in piece.decode("utf-8", "replace")) else 0.0
                parts[-1] = (parts[-1][0] + piece, min(parts[-1][1], sure))
        words = [(text.decode("utf-8", "replace").replace(SPACE, " ").strip(), log) for text, log in parts]
        return [Word(text, math.exp(log)) for text, log in words if text]


def _likeliest(sentences: Sequence[_Sentence], scores: FloatArray, beams: int) -> list[tuple[int, _Sentence]]:
    """Return the most likely sentences that are longer by a token, each with the number of its beginning.

    Args:
        sentences: The beginnings.
        scores: The scores of the next token, of shape ``[sentences, tokens]``.
        beams: How many of each beginning are wanted, besides its end.
    """
    found: list[tuple[int, _Sentence]] = []
    for number, (sentence, row) in enumerate(zip(sentences, scores, strict=True)):
        top = float(row.max())
        total = top + math.log(float(np.exp(row - top).sum()))
        for token in np.argpartition(row, -beams - 1)[-beams - 1 :]:
            log = float(row[token]) - total
            tokens = (*sentence.tokens, int(token))
            found.append((number, _Sentence(tokens, (*sentence.logs, log), sentence.log + log)))
    return sorted(found, key=lambda each: -each[1].log)
