"""The moonshine speech model: samples in, words with their probabilities out.

The model's files are run with onnxruntime, and not with the library of moonshine-voice that they come with:
the same words cost a quarter of the CPU, each word has a probability (the library has none for the model in
its wheel), and no second voice detection cuts the audio (it makes words of the pieces: "You", "I").

The way of decoding follows `core/moonshine-model.cpp` of https://github.com/moonshine-ai/moonshine (MIT).
Jeffries et al., Moonshine: Speech Recognition for Live Transcription and Voice Commands, 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

__all__ = ["RATE", "MoonshineModel", "Word"]

RATE = 16_000
"""Sample rate of the model's audio in Hz."""
TOKENS_A_SECOND = 6.5
"""The most that people say; more is a model that repeats itself. The library's own bound for English."""
SPARE_TOKENS = 6
"""For the end of a short answer: "seven thirty" is four tokens in 0.6 s."""

_START, _END = 1, 2  # tokens
_SPACE = "▁"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, with its punctuation."""

    text: str
    probability: float
    """Of its least likely part, 0 to 1."""


class MoonshineModel:
    """One model, on one CPU thread.

    Args:
        folder: The folder of its files.
    """

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1

        def session(name: str) -> onnxruntime.InferenceSession:
            return onnxruntime.InferenceSession(
                str(folder / name), sess_options=options, providers=["CPUExecutionProvider"]
            )

        self._encoder = session("encoder_model.ort")
        self._decoder = session("decoder_model_merged.ort")
        self._tokens = _read_tokens((folder / "tokenizer.bin").read_bytes())
        self._cached = [(each.name, each.shape) for each in self._decoder.get_inputs() if "." in each.name]
        self._outputs = [each.name for each in self._decoder.get_outputs()]

    def transcribe(self, samples: npt.NDArray[np.float32]) -> list[Word]:
        """Return what is said.

        Args:
            samples: Mono at 16 kHz, 1.0 at full scale, at least 0.1 and at most about 30 s of speech.
        """
        audio = samples[np.newaxis]
        (states,) = self._encoder.run(
            None, {"input_values": audio, "attention_mask": np.ones(audio.shape, np.int64)}
        )
        tokens, logs = self._decode(states, SPARE_TOKENS + math.ceil(TOKENS_A_SECOND * len(samples) / RATE))
        return self._words(tokens, logs)

    def _decode(self, states: npt.NDArray[np.float32], most: int) -> tuple[list[int], list[float]]:
        """Take the most likely token each time. Returns the tokens and the logarithms of their probabilities."""
        inputs: dict[str, npt.NDArray[np.generic]] = {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in self._cached
        }
        inputs["encoder_hidden_states"] = states
        inputs["encoder_attention_mask"] = np.ones(states.shape[:2], np.int64)
        tokens: list[int] = []
        logs: list[float] = []
        last = _START
        while last != _END and len(tokens) < most:
            inputs["input_ids"] = np.array([[last]], np.int64)
            inputs["use_cache_branch"] = np.array([bool(tokens)])
            logits, *caches = self._decoder.run(None, inputs)
            for name, cache in zip(self._outputs[1:], caches, strict=True):
                if not tokens or ".decoder." in name:  # the encoder's are the same for every token
                    inputs[name.replace("present", "past_key_values")] = cache
            scores = logits[0, -1]
            last = int(scores.argmax())
            tokens.append(last)
            logs.append(-math.log(float(np.exp(scores - scores[last]).sum())))
        return tokens, logs

    def _words(self, tokens: list[int], logs: list[float]) -> list[Word]:
        parts: list[tuple[bytes, float]] = []
        for token, log in zip(tokens, logs, strict=True):
            piece = self._tokens[token]
            if token == _END or (piece.startswith(b"<") and piece.endswith(b">") and len(piece) > 2):
                continue
            if not parts or piece.startswith(_SPACE.encode()):
                parts.append((piece, log))
            else:
                sure = log if any(c.isalnum() for c in piece.decode("utf-8", "replace")) else 0.0
                parts[-1] = (parts[-1][0] + piece, min(parts[-1][1], sure))
        words = [(text.decode("utf-8", "replace").replace(_SPACE, " ").strip(), log) for text, log in parts]
        return [Word(text, math.exp(log)) for text, log in words if text]


def _read_tokens(data: bytes) -> list[bytes]:
    """Read a tokenizer file: each token's length, in one byte or in two if it is 128 or more, and its bytes."""
    tokens: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += 128 * data[at] - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    return tokens
