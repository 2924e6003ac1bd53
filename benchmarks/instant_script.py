"""What the instant services of all sides say, and how often they did. Nothing here needs pipecat or LiveKit Agents."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.wav import read_wav

__all__ = ["INSTRUCTIONS", "LONG", "SECONDS_A_CHARACTER", "SHORT", "Tally", "voice"]

INSTRUCTIONS = "You take bookings for a restaurant."
VOICE = Path(__file__).parent.parent / "tests" / "audio" / "correction" / "01-book.wav"
SECONDS_A_CHARACTER = 0.06
LONG = (
    "Certainly. I can book a table for two people tomorrow evening. "
    "We have tables at six, at half past seven, and at nine. "
    "The one at half past seven is by the window, and it is the most popular."
)
SHORT = "No problem, four people it is."


@dataclass(slots=True)
class Tally:
    """What the services of a process have done. A measurement of calls in which nothing happened does not
    count.
    """

    utterances: int = 0
    answers: int = 0
    tools: int = 0
    spoken_s: float = 0.0

    def since(self, earlier: Tally) -> dict[str, float]:
        """Return what has been added since `earlier`."""
        before = asdict(earlier)
        return {name: round(value - before[name], 2) for name, value in asdict(self).items()}


@cache
def voice(rate: int) -> NDArray[np.int16]:
    """Return the recorded voice at this rate."""
    return read_wav(VOICE, rate)
