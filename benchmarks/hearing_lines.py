"""The lines of `benchmarks/hearing.py`: what lies between a caller's mouth and the bot.

Two sample rates, and at each a clean line, babble of other callers at 15 and 10 dB below the caller, and 3% of
lost packets that are concealed as the jitter buffer does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing_callers import RATE
from piopiy_pipeline.audio.concealment import Concealer
from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.resample import Resampler

__all__ = ["CONDITIONS", "Condition", "Pcm", "babble_of"]

Pcm = NDArray[np.int16]
LEAD_S, TAIL_S, SILENCE_S = 0.5, 0.9, 0.5
"""What is heard before the caller speaks, after it, and the complete silence that ends the line."""
BABBLERS = 5
_BABBLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Condition:
    """A line: its sample rate in Hz, how far babble is below the caller in dB, and the share of lost packets."""

    rate: int
    snr_db: float | None = None
    loss: float = 0.0

    @property
    def name(self) -> str:
        """The name under which the figures stand."""
        line = "16 kHz" if self.rate == RATE else "8 kHz µ-law"
        if self.snr_db is not None:
            return f"{line}, babble {self.snr_db:g} dB"
        return f"{line}, {self.loss:.0%} loss" if self.loss else f"{line}, clean"

    @property
    def is_clean(self) -> bool:
        """Whether there is neither babble nor loss."""
        return self.snr_db is None and not self.loss

    def carry(self, speech: Pcm, babble: Pcm, rng: np.random.Generator) -> Pcm:
        """Return what the bot gets of a sentence.

        Args:
            speech: int16 of shape ``[n]`` at 16 kHz.
            babble: What `babble_of` returned.
            rng: Chooses the place in the babble, and the packets that are lost.

        Returns:
            int16 at the condition's rate, with `LEAD_S` before, `TAIL_S` after and `SILENCE_S` at the end.
        """
        lead, tail = np.zeros(int(LEAD_S * RATE), np.int16), np.zeros(int(TAIL_S * RATE), np.int16)
        sound = np.concatenate([lead, speech, tail]).astype(np.float64)
        if self.snr_db is not None:
            at = int(rng.integers(0, len(babble) - 1))
            noise = np.resize(np.roll(babble, -at), len(sound)).astype(np.float64)
            power = (speech.astype(np.float64) ** 2).mean()
            sound += noise * np.sqrt(power / 10 ** (self.snr_db / 10) / (noise**2).mean())
        silence = np.zeros(int(SILENCE_S * RATE))
        pcm = np.clip(np.concatenate([sound, silence]), -32768, 32767).astype(np.int16)
        pcm = pcm[: len(pcm) // 320 * 320]
        if self.rate != RATE:
            pcm = np.frombuffer(Resampler(RATE, self.rate).process(pcm.tobytes()), np.int16)
            pcm = ulaw_decode(ulaw_encode(pcm))
        return self._lose(pcm, rng) if self.loss else pcm

    def _lose(self, pcm: Pcm, rng: np.random.Generator) -> Pcm:
        concealer, step = Concealer(rate=self.rate), self.rate // 50
        played = []
        for at in range(0, len(pcm) - step + 1, step):
            lost = rng.random() < self.loss
            played.append(concealer.conceal(step) if lost else concealer.heard(pcm[at : at + step]))
        return np.concatenate(played)


CONDITIONS = tuple(
    Condition(rate, snr_db, loss)
    for rate in (RATE, 8_000)
    for snr_db, loss in ((None, 0.0), (15.0, 0.0), (10.0, 0.0), (None, 0.03))
)


def babble_of(sentences: Sequence[Pcm], rng: np.random.Generator) -> Pcm:
    """Mix `BABBLERS` voices that talk without a pause: int16 at 16 kHz, 30 s.

    Args:
        sentences: What they say, of several voices.
        rng: Chooses the order.
    """
    size = int(_BABBLE_S * RATE)
    mixed = np.zeros(size)
    for _ in range(BABBLERS):
        talk = np.concatenate([sentences[i] for i in rng.permutation(len(sentences))]).astype(np.float64)
        mixed += np.resize(talk, size)
    return np.asarray(mixed / np.abs(mixed).max() * 16_000, np.int16)
