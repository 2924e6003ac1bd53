"""What the VAD of a call costs, how long a window waits for its score, and whether that is the model's own.

    python -m benchmarks.vad                        1, 8 and 32 calls at 16 and 8 kHz, 10 s each; takes four minutes
    python -m benchmarks.vad --calls 32 --rates 16000 --json     the last line is one JSON object

Ours is the engine of all calls (`VadEngine`), beside a `SileroVADAnalyzer` of pipecat for each call, both fed with
different callers in real time, each in a process of its own, in turn. The audio comes as a gateway sends it to an
agent: whole windows of all calls in the same of its frame ticks. With ``--arrival frames`` it is 20 ms of all calls at
a time, and each call begins a beat later; with ``--arrival spread`` each has its own place within the beat, too. CPU is
that of the whole process, less what feeding alone takes, which is measured in a third one. Beside it stands what the
model takes for as many windows in one batch, run after run, and "paced" one in 32 ms, as they come in a call: by then
the processor's caches hold something else.

A side that scores fewer windows than come has not got the CPU that it asks for, does less, and seems cheaper: it is
marked "starved", and an `--at-most` fails for ours.

A window waits from the frame that completes it until its score is there. Of pipecat that is until `analyze_audio`
returns, in which it measures the loudness, too, and decides: that is a part of its cost, and none of ours.

Exits with 1 if one of our scores is not, to the bit, what the model says of that call's windows one at a time; with
``--at-most MS``, if a call-second at 16 kHz and the most calls costs more; with ``--at-most-of-model SHARE``, if it
costs more than that share of what the model takes in the same run, which can be compared between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.benchmark_options import count, length_s
from benchmarks.child_process import START_LIMIT_S, Failed, Found, child
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.processors.silero import find_model, window_shape
from piopiy_pipeline.processors.vad_engine import VadEngine

RECORDINGS = Path(__file__).parent.parent / "tests" / "audio"
SIDES = ("ours", "pipecat", "feeding")
CALLS = [1, 8, 32]
RATES = [16000, 8000]
ARRIVALS = ("windows", "frames", "spread")
SETTLE_S = 1.5
FloatArray = npt.NDArray[np.float32]
BATCHES, PACED_BATCHES = 200, 60
SCORED, ENDS = 0.98, 2
CHECKED = 300
"""So many windows of each call are compared with the model alone."""


def callers_audio(count: int, rate: int) -> list[bytes]:
    """Return the audio of different callers: each begins elsewhere in the same recordings, and has its own noise."""
    dice = np.random.default_rng(0)
    pieces = [read_wav(path, rate) for path in sorted((RECORDINGS / "booking").glob("*.wav"))]
    pause = np.zeros(rate, np.int16)
    speech = np.concatenate([part for piece in pieces for part in (piece, pause)])
    heard = []
    for _ in range(count):
        noise = dice.normal(0, float(dice.choice([2, 20, 60])), len(speech))
        shifted = np.roll(speech, int(dice.integers(len(speech)))) * float(dice.uniform(0.3, 1.0))
        heard.append(np.clip(shifted + noise, -32768, 32767).astype(np.int16).tobytes())
    return heard


class Ears(Protocol):
    """One call's VAD."""

    scores: list[float]
    waits_s: list[float]

    def feed(self, pcm: bytes) -> None: ...


class Windows:
    """Knows when each window of one call was complete.

    Args:
        rate: The sample rate of its audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.scores: list[float] = []
        self.waits_s: list[float] = []
        self._size = window_shape(rate).window_bytes
        self._fed = 0
        self._complete: deque[float] = deque()

    def fed(self, pcm: bytes) -> None:
        """Note that these samples are handed over now."""
        before, self._fed = self._fed // self._size, self._fed + len(pcm)
        now = time.perf_counter()
        self._complete.extend(now for _ in range(self._fed // self._size - before))

    def scored(self, probability: float) -> None:
        """Note that the oldest window that waits has its score."""
        self.scores.append(probability)
        self.waits_s.append(time.perf_counter() - self._complete.popleft())


class OurEars(Windows):
    """A stream of the engine. Its listener is never quiet, so that the model's state is never cleared."""

    quiet = False

    def __init__(self, engine: VadEngine, rate: int) -> None:
        super().__init__(rate)
        self._stream = engine.open(rate, self)

    def feed(self, pcm: bytes) -> None:
        self.fed(pcm)
        self._stream.feed(pcm)

    def on_window(self, probability: float, power: float, volume: float | None) -> None:
        self.scored(probability)

    def on_error(self, error: BaseException) -> None:
        raise error


class PipecatEars(Windows):
    """An analyzer of pipecat, as its `VADProcessor` uses it: one frame after the other."""

    def __init__(self, rate: int) -> None:
        from pipecat.audio.vad.silero import SileroVADAnalyzer

        super().__init__(rate)
        self._analyzer = SileroVADAnalyzer(sample_rate=rate)
        self._analyzer.set_sample_rate(rate)
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(50)
        self._task = asyncio.create_task(self._run())

    def feed(self, pcm: bytes) -> None:
        if not self._frames.full():  # else it is behind by a second: what it leaves out is no score
            self._frames.put_nowait(pcm)

    async def _run(self) -> None:
        while True:
            pcm = await self._frames.get()
            waiting = len(self._complete)
            self.fed(pcm)
            windows = len(self._complete) - waiting
            await self._analyzer.analyze_audio(pcm)
            for _ in range(windows):
                self.scored(0.0)


class NoEars(Windows):
    """Takes the frames, and does nothing."""

    def feed(self, pcm: bytes) -> None:
        self.fed(pcm)
        while self._complete:
            self.scored(0.0)


def model_ms(calls: int, rate: int, *, paced: bool = False) -> float:
    """Return the CPU time that the model takes for a second of each call, in one batch, in ms per call.

    Args:
        calls: How many windows a batch has.
        rate: The sample rate in Hz.
        paced: Whether the batches come as in real time, one every 32 ms. Else one follows the other.
    """
    session, shape = _session(), window_shape(rate)
    given = {
        "input": np.random.default_rng(0)
        .normal(0, 0.1, (calls, shape.context + shape.samples))
        .astype(np.float32),
        "state": np.zeros((2, calls, 128), np.float32),
        "sr": np.array(rate, dtype=np.int64),
    }
    for _ in range(20):
        session.run(None, given)
    took_s = []
    for _ in range(PACED_BATCHES if paced else BATCHES):
        if paced:
            time.sleep(shape.seconds)
        began = time.process_time()
        session.run(None, given)
        took_s.append(time.process_time() - began)
    return statistics.fmean(took_s) / calls / shape.seconds * 1e3


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(find_model()), providers=["CPUExecutionProvider"], sess_options=options
    )


def alone(pcm: bytes, rate: int, windows: int) -> list[float]:
    """Return what the model says of the first windows of a call, one at a time, with nothing of ours in between."""
    session = _session()
    shape = window_shape(rate)
    samples: FloatArray = np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32768)
    state: FloatArray = np.zeros((2, 1, 128), np.float32)
    context: FloatArray = np.zeros(shape.context, np.float32)
    scores = []
    for number in range(windows):
        window = samples[number * shape.samples : (number + 1) * shape.samples]
        given = np.concatenate([context, window])[np.newaxis]
        out, state = session.run(None, {"input": given, "state": state, "sr": np.array(rate, dtype=np.int64)})
        scores.append(float(out.item()))
        context = window[-shape.context :]
    return scores


class Feeder:
    """Feeds all calls in real time, and their audio goes round and round.

    Args:
        ears: The calls.
        audio: What each says.
        rate: The sample rate in Hz.
        arrival: When it comes: `ARRIVALS`.
    """

    def __init__(self, ears: Sequence[Ears], audio: Sequence[bytes], rate: int, arrival: str) -> None:
        self._frame = 2 * int(FRAME_S * rate)
        self._piece = window_shape(rate).window_bytes if arrival == "windows" else self._frame
        self._fed = [0] * len(ears)
        self._late = arrival == "frames"
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time() + 0.1
        self._ears, self._audio = ears, audio
        if arrival == "spread":
            for number in range(len(ears)):
                self._beat(0, [number], number * FRAME_S / len(ears))
        else:
            self._beat(0, range(len(ears)), 0.0)

    def _beat(self, number: int, calls: Sequence[int], offset_s: float) -> None:
        for call in calls:
            frames = number + 1 - (call if self._late else 0)
            due = frames * self._frame // self._piece * self._piece
            if due > self._fed[call]:
                audio = self._audio[call]
                at = self._fed[call] % len(audio)
                self._ears[call].feed(audio[at : at + due - self._fed[call]])
                self._fed[call] = due
        at_s = self._origin + offset_s + (number + 1) * FRAME_S
        self._loop.call_at(at_s, self._beat, number + 1, calls, offset_s)


async def one_side(options: argparse.Namespace) -> None:
    """Measure one side in this process, and print what was found."""
    [rate], [calls] = options.rates, options.calls
    audio = callers_audio(calls, rate)
    whole = 2 * rate * 160 // 1000  # frames and windows both end there
    audio = [one[: len(one) // whole * whole] for one in audio]
    ears: list[Any]
    if options.side == "ours":
        engine = VadEngine()
        await engine.load()
        ears = [OurEars(engine, rate) for _ in range(calls)]
    elif options.side == "pipecat":
        ears = [PipecatEars(rate) for _ in range(calls)]
    else:
        ears = [NoEars(rate) for _ in range(calls)]
    Feeder(ears, audio, rate, options.arrival)
    await asyncio.sleep(SETTLE_S + calls * FRAME_S)
    for one in ears:
        one.waits_s.clear()
    cpu, began = time.process_time(), time.monotonic()
    await asyncio.sleep(options.seconds)
    cpu_s, length_s = time.process_time() - cpu, time.monotonic() - began
    waits_s = sorted(wait for one in ears for wait in one.waits_s)
    equal = compared = 0
    if options.side == "ours":
        for one, heard in zip(ears, audio, strict=True):
            windows = min(CHECKED, len(one.scores), len(heard) // window_shape(rate).window_bytes - 1)
            expected = alone(heard, rate, windows)
            compared += windows
            equal += sum(a == b for a, b in zip(one.scores, expected, strict=False))
    found = {
        "cpu_ms": cpu_s / (calls * length_s) * 1e3,
        "wait_p50_ms": waits_s[len(waits_s) // 2] * 1e3,
        "wait_p95_ms": waits_s[int(0.95 * (len(waits_s) - 1))] * 1e3,
        "windows": len(waits_s),
        "starved": is_starved(len(waits_s), calls, rate, length_s),
        "model_ms": model_ms(calls, rate) if options.side == "ours" else 0.0,
        "paced_ms": model_ms(calls, rate, paced=True) if options.side == "ours" else 0.0,
        "compared": compared,
        "equal": equal,
    }
    print(json.dumps(found), flush=True)


def is_starved(windows: int, calls: int, rate: int, length_s: float) -> bool:
    """Return whether in this time fewer windows were scored than have come, but for those at both of its ends."""
    each = length_s / window_shape(rate).seconds
    return windows < calls * (SCORED * each - ENDS)


def measure(side: str, calls: int, rate: int, options: argparse.Namespace) -> Found:
    """Measure one side in a process of its own. Raises `Failed`."""
    with child(
        "vad",
        side=side,
        calls=calls,
        rates=rate,
        seconds=options.seconds,
        arrival=options.arrival,
        loop=options.loop,
    ) as process:
        return process.answer("cpu_ms", START_LIMIT_S + options.seconds + 0.1 * calls)


def measure_all(options: argparse.Namespace) -> list[Found]:
    """Measure each number of calls at each rate; each number is the median of the repeats."""
    found = []
    for rate in options.rates:
        for calls in options.calls:
            runs: dict[str, list[Found]] = {side: [] for side in SIDES}
            for _ in range(options.repeats):
                for side in SIDES:
                    print(f"{side}, {calls} calls, {rate} Hz ...", file=sys.stderr, flush=True)
                    runs[side].append(measure(side, calls, rate, options))

            def median(side: str, key: str, runs: dict[str, list[Found]] = runs) -> float:
                return float(statistics.median(run[key] for run in runs[side]))

            feeding_ms = median("feeding", "cpu_ms")
            row: Found = {"rate": rate, "calls": calls, "feeding_ms": round(feeding_ms, 3)}
            for side in ("ours", "pipecat"):
                row[side] = {
                    "cpu_ms": round(median(side, "cpu_ms") - feeding_ms, 3),
                    "wait_p50_ms": round(median(side, "wait_p50_ms"), 2),
                    "wait_p95_ms": round(median(side, "wait_p95_ms"), 2),
                    "starved": any(run["starved"] for run in runs[side]),
                }
            row["model_ms"] = round(median("ours", "model_ms"), 3)
            row["paced_ms"] = round(median("ours", "paced_ms"), 3)
            row["of_model"] = round((median("ours", "cpu_ms") - feeding_ms) / median("ours", "model_ms"), 3)
            row["compared"] = sum(run["compared"] for run in runs["ours"])
            row["equal"] = sum(run["equal"] for run in runs["ours"])
            found.append(row)
    return found


def table(rows: Sequence[Found]) -> str:
    """Return the results as a table for people."""
    lines = [
        f"{'Hz':>6}{'calls':>6}   {'CPU ms a call-second':<36}{'a window waits, ms: median, p95':<34}scores",
        f"{'':>12}   {'ours':>8}{'model':>7}{'paced':>7}{'pipecat':>9}     {'ours':>13}{'pipecat':>14}",
    ]
    for row in rows:
        ours, theirs = row["ours"], row["pipecat"]
        lines.append(
            f"{row['rate']:>6}{row['calls']:>6}   "
            f"{ours['cpu_ms']:>8.2f}{row['model_ms']:>7.2f}{row['paced_ms']:>7.2f}{theirs['cpu_ms']:>9.2f}     "
            f"{ours['wait_p50_ms']:>6.2f}{ours['wait_p95_ms']:>7.2f}{theirs['wait_p50_ms']:>7.2f}{theirs['wait_p95_ms']:>7.2f}"
            f"       {row['equal']} of {row['compared']} as the model's alone"
            f"{''.join(f', {side} starved' for side in ('ours', 'pipecat') if row[side]['starved'])}"
        )
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--calls",
        type=count,
        nargs="+",
        default=CALLS,
        metavar="N",
        help="numbers of calls (default: 1 8 32)",
    )
    arguments.add_argument(
        "--rates", type=int, nargs="+", default=RATES, choices=RATES, help="in Hz (default: both)"
    )
    arguments.add_argument(
        "--seconds", type=length_s, default=10.0, help="length of a measurement (default: 10)"
    )
    arguments.add_argument(
        "--repeats", type=count, default=1, help="measurements of each; the median counts (default: 1)"
    )
    arguments.add_argument(
        "--arrival", choices=ARRIVALS, default="windows", help="how audio comes, see above (default: windows)"
    )
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments.add_argument("--at-most", type=float, metavar="MS", help="fail if ours costs more")
    arguments.add_argument(
        "--at-most-of-model",
        type=float,
        metavar="SHARE",
        help="fail if ours costs more of the model's own time",
    )
    arguments.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    if options.side:
        run: Any = asyncio.run
        if options.loop == "uvloop":
            import uvloop

            run = uvloop.run
        run(one_side(options))
        return 0
    try:
        rows = measure_all(options)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(table(rows))
    if options.json:
        setting = {"seconds": options.seconds, "arrival": options.arrival, "loop": options.loop}
        print(json.dumps({**setting, "results": rows}))
    if any(row["equal"] != row["compared"] or not row["compared"] for row in rows):
        print("a score differs from that of the model alone", file=sys.stderr)
        return 1
    most = max(row["calls"] for row in rows)
    dear = [row for row in rows if row["rate"] == 16000 and row["calls"] == most]
    limits = (options.at_most, options.at_most_of_model)
    if limits != (None, None) and any(row["ours"]["starved"] for row in dear):
        print(f"ours was starved at {most} calls: what a call-second costs is not known", file=sys.stderr)
        return 1
    if options.at_most is not None and any(row["ours"]["cpu_ms"] > options.at_most for row in dear):
        print(f"a call-second costs more than {options.at_most:g} ms at {most} calls", file=sys.stderr)
        return 1
    share = options.at_most_of_model
    if share is not None and any(row["of_model"] > share for row in dear):
        print(
            f"a call-second costs more than {share:g} of the model's own time at {most} calls",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
