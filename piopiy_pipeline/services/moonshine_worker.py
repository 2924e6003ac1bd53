"""The process that hears: moonshine models, and what decides whether a sound was speech at all.

It keeps nothing of a call: each request brings its audio and is answered with words. So any worker can answer
any request, and a request whose worker died can be asked once more. Nothing of pipecat is imported here.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt
import soxr

from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.services.moonshine_files import find_speech_model
from piopiy_pipeline.services.moonshine_model import RATE, MoonshineModel
from piopiy_pipeline.services.worker_loop import serve

__all__ = ["hear", "load"]

MAX_LANGUAGES = 2
"""Models that a process keeps, at 0.1 GB each."""
VOICED = 0.5
"""Least probability of speech in a window that belongs to the words."""
BEFORE_S = 0.2
"""Audio before the first voiced window that is transcribed, too: the consonant that the VAD did not notice."""
AFTER_S = 0.15
"""Audio after the last voiced window that is transcribed, too."""

_models: OrderedDict[str, MoonshineModel] = OrderedDict()


def load(language: str) -> None:
    """Load the model of a language, and what detects speech.

    Raises:
        SpeechModelMissing: There is no such model here.
    """
    _model(language)
    load_model()


def hear(pcm: bytes, rate: int, language: str) -> list[tuple[str, float]]:
    """Transcribe a piece of audio, or refuse it as a noise.

    Args:
        pcm: PCM16 mono, 30 s at most.
        rate: Its sample rate in Hz.
        language: The code of the language that is spoken.

    Returns:
        The words, each with its confidence from 0 to 1. None, if it was a noise.
    """
    samples = _at_16_khz(np.frombuffer(pcm, "<i2"), rate)
    voiced = _voiced(samples)
    if not voiced.any():
        return []
    size = window_shape(RATE).samples
    first, last = np.flatnonzero(voiced)[[0, -1]]
    start = max(0, int(first * size - BEFORE_S * RATE))
    end = int((last + 1) * size + AFTER_S * RATE)
    speech = samples[start:end].astype(np.float32)
    speech /= 32768
    words = _model(language).transcribe(speech)
    return [(word.text, round(word.probability, 3)) for word in words]


def _model(language: str) -> MoonshineModel:
    model = _models.get(language)
    if model is None:
        model = _models[language] = MoonshineModel(find_speech_model(language))
        while len(_models) > MAX_LANGUAGES:
            _models.popitem(last=False)
    _models.move_to_end(language)
    return model


def _at_16_khz(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.int16]:
    if rate == RATE:
        return samples
    wide: npt.NDArray[np.int16] = soxr.resample(samples, rate, RATE)
    return wide


def _voiced(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Say of each window of 32 ms whether there is speech in it."""
    shape = window_shape(RATE)
    silero, state = load_model(), SileroModel.fresh_state()
    pcm = bytes(shape.context_bytes) + samples.tobytes()
    scores = []
    for at in range(len(samples) // shape.samples):
        begin = at * shape.window_bytes
        context = pcm[begin : begin + shape.context_bytes]
        window = pcm[begin + shape.context_bytes : begin + shape.context_bytes + shape.window_bytes]
        (score,), _, state = silero.score(shape, (context, window), (state,))
        scores.append(score)
    return np.array(scores) >= VOICED


def main() -> None:
    """Answer requests until the parent process has gone."""
    serve({method.__name__: method for method in (load, hear)})


if __name__ == "__main__":
    main()
