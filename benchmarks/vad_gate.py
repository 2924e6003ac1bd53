"""What becomes of turns when windows too soft for speech are kept from the VAD's model, beside what its reset does.

    python -m benchmarks.vad_gate --rate 16000 --calls 16

Callers say recordings of tests/audio, at random levels and pauses, on a silent line and with noise at -80, -65 and
-55 dBFS. Each call is segmented as the model alone says, with `EnergyGate`, and without a gate, but with the model's
state cleared after 1.3 and 2.4 s instead of pipecat's two. Counted are starts, pauses and stops of speech at the same
window (32 ms), those that moved by up to three, and those that the other does not have. Exits 1 if the gate moves a
stop.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.processors.caller_level import CallerLevel
from piopiy_pipeline.processors.energy_gate import EnergyGate, powers_of
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings

RECORDINGS = Path(__file__).parent.parent / "tests" / "audio"
NOISE_DBFS = (None, -80.0, -65.0, -55.0)
RESETS_S = (1.3, 2.4)
NEAR_WINDOWS = 3
Events = list[tuple[int, VadEvent]]


def call_audio(seed: int, rate: int, files: Sequence[Path]) -> bytes:
    """Return what one caller says."""
    noise, dice, parts = np.random.default_rng(seed), random.Random(seed), []
    for _ in range(12):
        parts.append(np.zeros(int(rate * dice.uniform(0.5, 8)), np.float32))
        said = read_wav(dice.choice(files), rate).astype(np.float32)[: rate * 8]
        parts.append(said * 10 ** (dice.uniform(-18, 3) / 20))
    signal = np.concatenate(parts)
    level = NOISE_DBFS[seed % len(NOISE_DBFS)]
    if level is not None:
        signal += noise.normal(0, 32768 * 10 ** (level / 20), len(signal)).astype(np.float32)
    return np.clip(signal, -32768, 32767).astype("<i2").tobytes()


def segments(pcm: bytes, rate: int, *, gated: bool, reset_s: float = 2.0) -> tuple[Events, int]:
    """Return the events of one call, each with its window, and how many windows the model has heard."""
    shape, model, gate = window_shape(rate), load_model(), EnergyGate()
    segmenter = Segmenter(
        VadSettings(),
        window_s=shape.seconds,
        activity_s=0,
        pause_s=0.1,
        level=CallerLevel(window_s=shape.seconds),
    )
    state, tail = SileroModel.fresh_state(), bytes(shape.context_bytes)
    since = low = asked = 0
    events: Events = []
    size = shape.window_bytes
    for at in range(0, len(pcm) - size + 1, size):
        window, number = pcm[at : at + size], at // size
        if gated:
            [power] = powers_of([window])
            if segmenter.quiet and gate.keeps(window, power, quiet=True):
                events += [(number, event) for event in segmenter.window(0.0, power)]
                continue
        before, afresh = gate.open()
        if afresh:
            state, tail, since = SileroModel.fresh_state(), bytes(shape.context_bytes), 0
        for heard in (*before, window):
            [probability], [power], state = model.score(shape, [tail, heard], state)
            tail = heard[-shape.context_bytes :]
            asked, since = asked + 1, since + 1
            low = low + 1 if probability < 0.1 else 0
        if since >= reset_s / shape.seconds and low >= 5 and segmenter.quiet:
            state, tail, since = SileroModel.fresh_state(), bytes(shape.context_bytes), 0
        events += [(number, event) for event in segmenter.window(probability, power)]
    return events, asked


def compared(one: Events, other: Events) -> Counter[str]:
    """Count what became of the events of `one` in `other`."""
    found: Counter[str] = Counter()
    for kind in (VadEvent.STARTED, VadEvent.PAUSED, VadEvent.STOPPED):
        left = [window for window, event in other if event is kind]
        for window in (window for window, event in one if event is kind):
            nearest = min(left, key=lambda at: abs(at - window), default=None)
            if nearest is None or abs(nearest - window) > NEAR_WINDOWS:
                found[f"{kind.value} missing"] += 1
                continue
            left.remove(nearest)
            found[f"{kind.value} {'same' if nearest == window else 'moved'}"] += 1
        found[f"{kind.value} new"] += len(left)
    return +found


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rate", type=int, choices=[8000, 16000], default=16000)
    arguments.add_argument("--calls", type=int, default=16)
    options = arguments.parse_args()
    files = sorted(RECORDINGS.rglob("*.wav"))
    totals: dict[str, Counter[str]] = {}
    asked = {"gate": 0, "all": 0}
    for seed in range(options.calls):
        pcm = call_audio(seed, options.rate, files)
        alone, windows = segments(pcm, options.rate, gated=False)
        gated, heard = segments(pcm, options.rate, gated=True)
        asked["all"] += windows
        asked["gate"] += heard
        totals.setdefault("gate", Counter()).update(compared(alone, gated))
        for reset_s in RESETS_S:
            other, _ = segments(pcm, options.rate, gated=False, reset_s=reset_s)
            totals.setdefault(f"reset {reset_s:g} s", Counter()).update(compared(alone, other))
    print(
        f"{options.rate} Hz, {options.calls} calls: the model hears {asked['gate'] / asked['all']:.0%} of the windows"
    )
    for name, found in totals.items():
        print(f"{name:<12}", ", ".join(f"{what} {count}" for what, count in sorted(found.items())))
    stops = totals["gate"]
    return 1 if stops["stopped moved"] + stops["stopped missing"] + stops["stopped new"] else 0


if __name__ == "__main__":
    sys.exit(main())
