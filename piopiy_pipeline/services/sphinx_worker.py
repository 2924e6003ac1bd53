"""The process of the recogniser: pocketsphinx decoders, and what each call has said so far.

It is a process of its own because pocketsphinx holds the interpreter's lock while it decodes. It serves many
calls.
For each call it keeps a small state (the sample rate, and the channel's cepstral mean). A call borrows a
decoder
only while it has an utterance, so there are as many decoders as callers who speak at the moment, and not as
many
as there are calls.

Nothing of pipecat is imported here.
"""

from __future__ import annotations

import re
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder, NGramModel, get_model_path

from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.services.language_model import COMMON_PHRASES, arpa, normalise
from piopiy_pipeline.services.lexicon import pronunciations
from piopiy_pipeline.services.worker_loop import serve

__all__ = ["Recogniser", "Widen", "narrowband"]

RATE = 16_000
"""Sample rate of the acoustic model, in Hz."""
BACKGROUND_WORDS = 1_000
"""How many common words every model has besides the author's. 1,000 cost 15% more time than none."""
MAX_DECODERS = 48
"""Utterances under way at the same time, at 6 MB each; one more is refused."""
IDLE_DECODERS = 6
"""Decoders kept when nobody speaks."""
MIRROR = 0.3
"""Amplitude of the mirror image above 4 kHz. The acoustic model was trained on 16 kHz speech: an empty
upper band makes it deaf to most words of a telephone call. From 0.2 to 0.5 makes little difference."""

_MODEL = Path(get_model_path()) / "en-us"
_RUDE = re.compile(r"fuck|shit|bitch|cunt|bastard|damn|goddamn|ass$|asshole|dick$|piss|crap")


class Recogniser:
    """Serves all calls that use this process. Each method answers one request of `SphinxSTTService`."""

    def __init__(self) -> None:
        self._grammars: OrderedDict[tuple[str, ...], _Grammar] = OrderedDict()
        self._calls: dict[str, _CallDecoder] = {}

    def open(self, call: str, phrases: Sequence[str], rate: int) -> list[str]:
        """Prepare for a call.

        Args:
            call: The key by which further requests name the call.
            phrases: The sentences that its language model is made from.
            rate: The sample rate of its audio in Hz.

        Returns:
            The words whose pronunciation was guessed.
        """
        key = tuple(phrases)
        grammar = self._grammars.get(key)
        if grammar is None:
            grammar = self._grammars[key] = _Grammar(key)
            while len(self._grammars) > 16:
                self._grammars.popitem(last=False)
        self._grammars.move_to_end(key)
        self._calls[call] = _CallDecoder(grammar, rate, grammar.fresh_mean)
        return grammar.guessed

    def feed(self, call: str, pcm: bytes) -> str:
        """Decode a piece of an utterance. The first piece begins the utterance.

        Args:
            call: The key of the call.
            pcm: PCM16 mono at the call's rate.

        Returns:
            The text of the utterance so far.
        """
        state = self._calls[call]
        if state.decoder is None:
            state.begin(pcm)
        return state.feed(pcm)

    def end(self, call: str, pcm: bytes) -> tuple[str, float]:
        """Decode the last piece of an utterance.

        Args:
            call: The key of the call.
            pcm: PCM16 mono at the call's rate.

        Returns:
            The text of the utterance, and the share of it (0 to 1) that consists of words from the phrases.
        """
        state = self._calls[call]
        if state.decoder is None and not pcm:
            return "", 0.0
        self.feed(call, pcm)
        return state.end()

    def abandon(self, call: str) -> None:
        """Drop the utterance in progress, if there is one."""
        if state := self._calls.get(call):
            state.abandon()

    def close(self, call: str) -> None:
        """Forget a call. A call that is not known, because it was closed already, is no error."""
        if state := self._calls.pop(call, None):
            state.abandon()


class _Grammar:
    """A set of phrases with its language model, its dictionary, and the decoders that have loaded them."""

    def __init__(self, phrases: Sequence[str]) -> None:
        own = [text for phrase in phrases if (text := normalise(phrase))]
        common = _common_words()
        sentences = [*own, *COMMON_PHRASES]
        self.known = {word for sentence in sentences for word in sentence.split()}
        sounds, self.guessed = pronunciations(self.known | set(common), _MODEL / "cmudict-en-us.dict")
        if mute := self.known - sounds.keys():
            raise ValueError(f"no pronunciation for {', '.join(sorted(mute))}")
        self._model = arpa(sentences, common)
        self._dictionary = "".join(
            f"{word}{f'({number})' if number > 1 else ''} {phones}\n"
            for word in sorted(sounds)
            for number, phones in enumerate(sounds[word], 1)
        )
        self._idle: list[Decoder] = [self._make()]
        self.fresh_mean: str = self._idle[0].get_cmn(False)
        self.busy = 0

    def borrow(self) -> Decoder:
        if self.busy >= MAX_DECODERS:
            raise RuntimeError(f"{MAX_DECODERS} callers speak at this moment; this process takes no more")
        decoder = self._idle.pop() if self._idle else self._make()
        self.busy += 1
        return decoder

    def give_back(self, decoder: Decoder) -> None:
        self.busy -= 1
        if len(self._idle) < IDLE_DECODERS:
            self._idle.append(decoder)

    def _make(self) -> Decoder:
        # The decoder reads both files while it is made and never again.
        with tempfile.TemporaryDirectory(prefix="piopiy-stt-") as folder:
            model, dictionary = Path(folder, "phrases.lm"), Path(folder, "phrases.dict")
            model.write_text(self._model)
            dictionary.write_text(self._dictionary)
            return Decoder(
                hmm=str(_MODEL / "en-us"),
                lm=str(model),
                dict=str(dictionary),
                samprate=RATE,
                loglevel="FATAL",
            )


@dataclass(slots=True)
class _CallDecoder:
    """The state of one call: its rate, its channel's mean, and the decoder that it has borrowed."""

    grammar: _Grammar
    rate: int
    mean: str
    """The channel's cepstral mean as of its last utterance: the decoder's own belongs to whoever spoke last."""
    decoder: Decoder | None = None
    _widen: Widen | None = field(default=None, init=False)
    _resample: Resampler | None = field(default=None, init=False)

    def begin(self, first: bytes) -> None:
        rate = self.rate
        self._resample = Resampler(rate, RATE) if rate not in (8_000, RATE) else None
        self._widen = Widen() if rate == 8_000 or (rate >= RATE and narrowband(first, rate)) else None
        self.decoder = self.grammar.borrow()
        self.decoder.set_cmn(self.mean)
        self.decoder.start_utt()

    def feed(self, pcm: bytes) -> str:
        assert self.decoder is not None
        if self._resample:
            pcm = self._resample.process(pcm)
        if self._widen:
            samples = np.frombuffer(pcm, np.int16)
            # Nothing is above 4 kHz in this audio, so every other sample is enough.
            pcm = self._widen.process(samples if self.rate == 8_000 else samples[::2]).tobytes()
        if pcm:
            self.decoder.process_raw(pcm)
        heard = self.decoder.hyp()
        return str(heard.hypstr) if heard else ""

    def end(self) -> tuple[str, float]:
        decoder = self.decoder
        assert decoder is not None
        try:
            decoder.end_utt()
            self.mean = decoder.get_cmn(True)
            heard = decoder.hyp()
            text = str(heard.hypstr) if heard else ""
            known = self._known_share(decoder) if text else 0.0
            if not known and len(text.split()) < 3:
                return "", 0.0  # a cough or a door, which sounds like a short word that is not in the phrases
            return text, known
        finally:
            self.decoder = None
            self.grammar.give_back(decoder)

    def abandon(self) -> None:
        if self.decoder is not None:
            self.end()

    def _known_share(self, decoder: Decoder) -> float:
        known = total = 0
        for part in decoder.seg():
            word = part.word.partition("(")[0]
            if word[0] in "<[+":  # silence and noises
                continue
            length = part.end_frame - part.start_frame + 1
            total += length
            known += length * (word in self.grammar.known)
        return known / total if total else 0.0


class Widen:
    """Resamples a stream from 8 kHz to 16 kHz, and adds a faint mirror image of the speech to the band above
    4 kHz.

    A telephone does not carry that band, but the acoustic model expects something in it. It returns two
    samples for
    each sample it gets.
    """

    def __init__(self, mirror: float = MIRROR) -> None:
        half = 31
        n = np.arange(-half, half + 1)
        low = np.sinc(n / 2) * np.kaiser(2 * half + 1, 6.0)  # passes below 4 kHz, gain 2 at half the samples
        low *= 2 / low.sum()
        taps = (1 - mirror) * low
        taps[half] += 2 * mirror
        self._taps = taps / 2 * 2
        self._tail = np.zeros(2 * half)

    def process(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        stuffed = np.zeros(2 * len(samples))
        stuffed[::2] = samples
        joined = np.concatenate([self._tail, stuffed])
        if not len(samples):
            return np.zeros(0, np.int16)
        self._tail = joined[-len(self._tail) :]
        wide = np.convolve(joined, self._taps, "valid")
        return np.clip(wide, -32768, 32767).round().astype(np.int16)


def narrowband(pcm: bytes, rate: int) -> bool:
    """Return whether speech was resampled from a telephone: whether there is some, but none above 4.3 kHz.

    Args:
        pcm: PCM16 mono.
        rate: Its sample rate in Hz.
    """
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    if len(samples) < rate // 5 or np.abs(samples).max() < 500:
        return False
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    above = power[(hertz > 4_300) & (hertz < 8_000)].sum()
    return bool(above < 1e-5 * power[hertz <= 4_000].sum())


@cache
def _common_words() -> tuple[str, ...]:
    """Return the most common words of the language, from the large model that comes with pocketsphinx."""
    large = NGramModel.readfile(str(_MODEL / "en-us.lm.bin"))
    scored = []
    with (_MODEL / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
        for line in lines:
            word = line.split(" ", 1)[0]
            # Single letters are what noises sound like, and a noise must not put these in a caller's mouth.
            if word.replace("'", "").isalpha() and len(word) > 1 and not _RUDE.match(word):
                scored.append((-large.prob([word]), word))
    scored.sort()
    return tuple(word for _, word in scored[:BACKGROUND_WORDS])


def main() -> None:
    """Answer requests until the parent process has gone."""
    recogniser = Recogniser()
    methods = (recogniser.open, recogniser.feed, recogniser.end, recogniser.abandon, recogniser.close)
    serve({method.__name__: method for method in methods})


if __name__ == "__main__":
    main()
