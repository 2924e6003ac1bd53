"""How long a caller waits for an answer: from the last loud sample that they say to the bot's first one.

    python -m benchmarks.voice_to_voice                 20 calls, one after the other
    python -m benchmarks.voice_to_voice --calls 40 --json     the last line is one JSON object

A caller over the gateway's WebSocket hears the greeting, waits, and says a recorded sentence. The services answer at
once (`instant_services`), so what is left is the silence that ends a turn, and what the agent and the gateway take:
with other services it is the same, and theirs comes on top. Beside an older version: `benchmarks/beside.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
import time

import numpy as np
from loguru import logger

from benchmarks.child_process import Failed, Found
from benchmarks.density_recording import RECORDINGS
from benchmarks.first_audio import HEARD_LIMIT_S, LOUD, Call, Listener, side_of
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.wav import read_wav

SENTENCE = RECORDINGS / "booking" / "01-people.wav"
WARM_UP = 2
BEFORE_S = 1.2
"""From the greeting's first sample until the caller speaks: it is half a second long."""
PAUSE_S = 0.3


def sentence(rate: int) -> tuple[list[bytes], int]:
    """Return what the caller says, in frames of 20 ms, and in which of them its last loud sample is."""
    pcm = read_wav(SENTENCE, rate)
    size = int(FRAME_S * rate)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LOUD)
    whole = pcm[: (len(pcm) + size - 1) // size * size]
    padded = np.pad(whole, (0, -len(whole) % size))
    frames = [padded[at : at + size].tobytes() for at in range(0, len(padded), size)]
    return frames, int(loud[-1]) // size


async def one_answer(call: Call, frames: list[bytes], last: int) -> float:
    """Call, say the sentence behind the greeting, hang up. Returns the seconds until the answer. Raises `Failed`."""
    line, _ = await call()
    try:
        async with asyncio.timeout(HEARD_LIMIT_S):
            await line.heard.wait()
            await asyncio.sleep(BEFORE_S)
            said_at = await _say(line, frames, last)
            line.heard_at = None
            line.heard.clear()
            await line.heard.wait()
    except TimeoutError:
        raise Failed(f"a caller heard no answer within {HEARD_LIMIT_S:g} s") from None
    assert line.heard_at is not None
    waited_s = line.heard_at - said_at
    line.hang_up()
    await asyncio.sleep(PAUSE_S)
    return waited_s


async def _say(line: Listener, frames: list[bytes], last: int) -> float:
    """Put a sentence into the noise of the line. Returns when the frame with its last loud sample was sent."""
    said_at = line.say(frames) + last * FRAME_S
    await asyncio.sleep(max(0.0, said_at - time.perf_counter()))
    return said_at


async def measure(options: argparse.Namespace) -> Found:
    """Measure our side, from the start of its process to its end. Raises `Failed`."""
    frames, last = sentence(options.rate)
    async with side_of("ours", options) as (_, call):
        times_s = [await one_answer(call, frames, last) for _ in range(WARM_UP + options.calls)][WARM_UP:]
    return {
        "p50_ms": round(statistics.median(times_s) * 1e3, 1),
        "p95_ms": round(sorted(times_s)[int(0.95 * (len(times_s) - 1))] * 1e3, 1),
        "best_ms": round(min(times_s) * 1e3, 1),
        "calls": options.calls,
    }


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--calls", type=int, default=20, help="one after the other")
    arguments.add_argument("--rate", type=int, choices=[8000, 16000], default=16000)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = arguments.parse_args()
    if options.calls < 1:
        arguments.error("--calls must be positive")
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    options.profile = None
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    try:
        found = asyncio.run(measure(options))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"an answer after {found['p50_ms']:.0f} ms (p95 {found['p95_ms']:.0f}, best {found['best_ms']:.0f}), "
        f"{found['calls']} calls"
    )
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
