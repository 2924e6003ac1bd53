"""The process that hears: moonshine models, and what decides whether a sound was speech at all.

It keeps nothing of a call: each request brings its audio and is answered with words. So any worker can answer
any request, and a request whose worker died can be asked once more. Nothing of pipecat is imported here.
"""

from __future__ import annotations

import calendar
import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import soxr

from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.services.stt.ear_answer import EarAnswer
from piopiy_pipeline.services.stt.moonshine_files import find_speech_model
from piopiy_pipeline.services.stt.moonshine_model import (
    MANY_TOKENS_A_SECOND,
    RATE,
    TOKENS_A_SECOND,
    MoonshineModel,
    Word,
)
from piopiy_pipeline.services.stt.speech_buffer import CUT_AT_S
from piopiy_pipeline.services.workers.worker_loop import announce_share, serve

__all__ = ["hear", "is_noise", "load"]

MAX_LANGUAGES = 2
"""Models that a process keeps, at 0.1 GB each."""
BEAMS = 3
"""Sentences that are followed at a time."""
VOICED = 0.5
"""Least probability of speech in a window that belongs to the words."""
BEFORE_S = 0.2
"""Audio before the first voiced window that is transcribed, too: the consonant that the VAD did not notice."""
AFTER_S = 0.032
"""Audio after the last voiced window that is transcribed, too. So much of it is there whenever the VAD says that the
speaker pauses, wherever its windows began."""
LEAST_S = 0.1
"""The model takes no less. It may be asked for one voiced window, such as the end of a word that was heard before."""

DOUBT = 0.115
"""What the mean logarithm of the words' probabilities weighs against the mean probability of speech."""
SPEECH = 0.69
"""Least sum of the two."""
INVENTED = frozenset(["a", "ah", "but", "hm", "hmm", "i", "mm", "oh", "so", "the", "u", "uh", "um", "you"])
"""What the model makes of a hum, in English. Nobody answers with nothing but these."""
MORE = 0.15
"""How much more it takes to believe these."""
ANSWERS = frozenset(name.lower() for name in (*calendar.day_name, *calendar.month_name[1:])) | frozenset(
    [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "today",
        "tomorrow",
        "tonight",
        "noon",
    ]
)
"""What callers say, and what the model makes of no noise, in English."""
LESS = 0.2
"""How much less it takes to believe an answer of a few words with one of these, or with digits."""
FEW = 4
NEAR_DB = 15.0
"""What is so much less loud than the caller's loudest words, before or behind them, is another voice..."""
OTHERS_S = 0.4
"""... if there is so much of it: words begin and end softly, too."""
AWAY_DB = 8.0
"""What is so much less loud than the caller just before, and makes no sense behind their words, is not theirs."""
MAX_REPEATS = 4
"""A word that comes more often than this in a row is the model's, and not the caller's."""

_models: OrderedDict[str, MoonshineModel] = OrderedDict()


def load(language: str) -> None:
    """Load the model of a language, and what detects speech.

    Raises:
        SpeechModelMissing: There is no such model here.
    """
    _model(language)
    load_model()


def hear(
    pcm: bytes,
    rate: int,
    language: str,
    lead: bytes = b"",
    said: Sequence[int] = (),
    beams: int = BEAMS,
) -> EarAnswer:
    """Transcribe a piece of audio, or refuse it as a noise.

    A phrase behind a pause is understood better together with what came before it. So the model hears both, and
    goes on writing behind the words that it has made of the first.

    Args:
        pcm: PCM16 mono; with `lead` 30 s at most.
        rate: Its sample rate in Hz.
        language: The code of the language that is spoken.
        lead: What the caller said just before, without noise at its head.
        said: The tokens that were made of `lead`.
        beams: Sentences that are followed at a time.
    """
    load(language)
    samples = _at_16_khz(np.frombuffer(lead + pcm, "<i2"), rate)
    announce_share(len(samples) / RATE / CUT_AT_S)
    after = len(lead) // 2 * RATE // rate
    # Windows that count from the loudest sample find the same words in the same sound, wherever the VAD's frames were.
    after += int(np.abs(samples[after:].astype(np.int32)).argmax()) % window_shape(RATE).samples if pcm else 0
    before, samples = samples[:after], samples[after:]
    least = int(LEAST_S * RATE)
    if len(samples) < least:
        return EarAnswer([])
    scores = _speech_scores(samples)
    voiced = np.flatnonzero(scores >= VOICED)
    if not len(voiced):
        return EarAnswer([])
    size = window_shape(RATE).samples
    voiced = voiced[_near(samples, voiced)]
    begins = max(0, min(int(voiced[0] * size - BEFORE_S * RATE), len(samples) - least))
    end = max(begins + least, int((voiced[-1] + 1) * size + AFTER_S * RATE))
    voice = float(scores[voiced].mean())
    model = _model(language)
    heard = None
    if said:
        heard = model.transcribe(_floats(np.concatenate([before, samples[:end]])), beams=beams, said=said)
        if is_noise(voice, heard.words):
            if _loudness(samples[begins:end]) < _loudness(before) - AWAY_DB:
                return EarAnswer([])  # somebody else, farther away
            heard = None  # for the model, all was said before
    if heard is None:
        heard = model.transcribe(_floats(samples[begins:end]), beams=beams)
        if is_noise(voice, heard.words):
            return EarAnswer([])
    words = [(word.text, round(word.probability, 3)) for word in heard.words]
    begins += after - len(lead) // 2 * RATE // rate
    return EarAnswer(words, heard.tokens, begins * rate // RATE)


def is_noise(voice: float, words: Sequence[Word]) -> bool:
    """Say whether words were made of a sound that was none.

    A cough or a hum that passes the VAD passes it narrowly, and the model doubts the words that it makes of it.
    Each of the two alone would refuse real answers, too. The weights are those of a logistic regression on other
    noises and voices than `benchmarks/noises.py` has.

    Args:
        voice: The mean probability of speech in the windows that have some.
        words: What the model made of it.
    """
    if not words:
        return True
    said = [_letters(word.text) for word in words]
    wanted = SPEECH + MORE * all(word in INVENTED for word in said)
    if len(said) <= FEW and any(word in ANSWERS or word[:1].isdigit() for word in said):
        wanted -= LESS
    doubt = sum(math.log(word.probability) for word in words) / len(words)
    repeats = max(len(list(same)) for _, same in groupby(said))
    return voice + DOUBT * doubt < wanted or repeats > MAX_REPEATS


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).lower()


def _model(language: str) -> MoonshineModel:
    model = _models.get(language)
    if model is None:
        latin = language[:2].lower() in ("en", "es")
        most = TOKENS_A_SECOND if latin else MANY_TOKENS_A_SECOND
        model = _models[language] = MoonshineModel(find_speech_model(language), tokens_a_second=most)
        while len(_models) > MAX_LANGUAGES:
            _models.popitem(last=False)
    _models.move_to_end(language)
    return model


def _near(samples: npt.NDArray[np.int16], voiced: npt.NDArray[np.intp]) -> slice:
    """Return which of the voiced windows are the caller's: all, but for the voices before and behind in a room where
    others speak.
    """
    size = window_shape(RATE).samples
    windows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    power = 10 * np.log10((windows**2).mean(axis=1) + 1)
    power = np.convolve(power, np.ones(3) / 3, "same")[voiced]
    loud = np.flatnonzero(power >= np.percentile(power, 95) - NEAR_DB)
    spared = (voiced[-1] - voiced[0]) - (voiced[loud[-1]] - voiced[loud[0]])
    return slice(loud[0], loud[-1] + 1) if spared * size >= OTHERS_S * RATE else slice(None)


def _floats(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    return samples.astype(np.float32) / np.float32(32768)


def _loudness(samples: npt.NDArray[np.int16]) -> float:
    """Return how loud the loud parts are, in dB."""
    size = window_shape(RATE).samples
    windows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    return 10 * math.log10(float(np.percentile((windows**2).mean(axis=1), 90)) + 1) if len(windows) else 0.0


def _at_16_khz(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.int16]:
    if rate == RATE:
        return samples
    wide: npt.NDArray[np.int16] = soxr.resample(samples, rate, RATE)
    return wide


def _speech_scores(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Return the probability of speech in each window of 32 ms."""
    shape = window_shape(RATE)
    silero, state = load_model(), SileroModel.fresh_state()
    pcm = bytes(shape.context_bytes) + samples.tobytes()
    scores = []
    for begin in range(0, len(pcm) - shape.context_bytes - shape.window_bytes + 1, shape.window_bytes):
        middle = begin + shape.context_bytes
        window = pcm[middle : middle + shape.window_bytes]
        (score,), _, state = silero.score(shape, (pcm[begin:middle], window), state)
        scores.append(score)
    return np.array(scores)


def main() -> None:
    """Answer requests until the parent process has gone."""
    serve({method.__name__: method for method in (load, hear)})


if __name__ == "__main__":
    main()
