"""How soon the offline voices speak, what that costs, and whether calls that speak at once ever fall silent.

    python benchmarks/voice.py                  piper and espeak-ng, 1 and 2 calls at once
    python benchmarks/voice.py --calls 8        as many as that
    python benchmarks/voice.py --hearing        while the offline recogniser hears each of the calls, too
    python benchmarks/voice.py --json           one JSON object as the last line

Each call says one sentence after the other, and each only when the one before has been heard, as a bot does; no
sentence is said twice. The audio of a sentence is *late* if a piece of it was not there when what was before had been
played. CPU is the process time of the workers. A time on the clock is a median, and depends on what else runs; what
the first audio takes of a core does not, and is what one call on an idle machine waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from piopiy_pipeline.services.stt.moonshine import moonshine_pool
from piopiy_pipeline.services.tts.espeak import EspeakTTSService, espeak_pool
from piopiy_pipeline.services.tts.local_tts import LocalTTSService
from piopiy_pipeline.services.tts.piper import PiperTTSService, piper_pool
from piopiy_pipeline.services.workers.worker_pool import WorkerPool, close_pools
from piopiy_pipeline.services.workers.worker_processes import Worker

RATE = 16_000
SENTENCES = (
    "Good evening, this is the front desk.",
    "Table number {} is free on Friday at seven, shall I book it for you?",
    "Of course.",
    "We are open from nine in the morning until ten at night, and on Sundays from eleven, in house {}.",
    "I am sorry, number {} is taken, but at half past eight there is one by the window that you might like.",
)
_numbers = count(1)
Found = dict[str, Any]


async def hear(worker: Worker, stop: asyncio.Event, pcm: bytes) -> None:
    """Have the recogniser hear a caller who speaks half of the time."""
    seconds = len(pcm) / 2 / RATE
    while not stop.is_set():
        await worker.call("hear", pcm, RATE, "en")
        try:
            await asyncio.wait_for(stop.wait(), 2 * seconds)
        except TimeoutError:
            continue


@dataclass
class Heard:
    """What calls heard, in seconds: one entry a sentence, or a piece that was late."""

    first: list[float] = field(default_factory=list)
    first_cpu: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    said_s: float = 0.0


async def talk(service: LocalTTSService, pool: WorkerPool, until: float, heard: Heard) -> None:
    """Say sentences until it is `until`."""
    while time.monotonic() < until:
        number = next(_numbers)
        text = SENTENCES[number % len(SENTENCES)].format(number) + f" That was {number}."
        lease = pool.lease()
        ran = _run_ns(lease.worker)
        asked = time.monotonic()
        begun = played_s = 0.0
        async with aclosing(service.speak(text, lease, RATE)) as pieces:
            async for piece in pieces:
                now = time.monotonic()
                if not begun:
                    begun = now
                    heard.first.append(now - asked)
                    heard.first_cpu.append((_run_ns(lease.worker) - ran) / 1e9)
                elif now > begun + played_s:
                    heard.late.append(now - begun - played_s)
                played_s += len(piece.pcm) / 2 / RATE
        heard.made.append(time.monotonic() - asked)
        lease.release()
        heard.said_s += played_s
        await asyncio.sleep(max(0.0, begun + played_s - time.monotonic()))


async def measure(voice: str, calls: int, seconds: float, hearing: bool) -> Found:
    """Have `calls` calls speak at once for `seconds` seconds."""
    pool = piper_pool() if voice == "piper" else espeak_pool()
    service: LocalTTSService = PiperTTSService(pool=pool) if voice == "piper" else EspeakTTSService(pool=pool)
    leases = [pool.lease() for _ in pool.workers]
    for lease in leases:  # starts each worker
        async with aclosing(service.speak(f"Ready, {next(_numbers)}.", lease, RATE)) as pieces:
            async for _ in pieces:
                pass
        lease.release()
    stop = asyncio.Event()
    ears: list[asyncio.Task[None]] = []
    if hearing:
        caller = Path(__file__).parents[1] / "tests" / "audio" / "booking" / "01-people.wav"
        pcm = _read(caller)
        for worker in moonshine_pool().workers:
            await worker.call("load", "en")
        ears = [asyncio.create_task(hear(moonshine_pool().lease().worker, stop, pcm)) for _ in range(calls)]
    heard = Heard()
    cpu = _cpu(pool)
    until = time.monotonic() + seconds
    await asyncio.gather(*(talk(service, pool, until, heard) for _ in range(calls)))
    cpu = _cpu(pool) - cpu
    stop.set()
    await asyncio.gather(*ears)
    pss = [psutil.Process(worker.pid).memory_full_info().pss >> 20 for worker in pool.workers if worker.pid]
    return {
        "voice": voice,
        "calls": calls,
        "hearing": hearing,
        "sentences": len(heard.first),
        "speech_s": round(heard.said_s, 1),
        "first_audio_ms": round(statistics.median(heard.first) * 1e3),
        "first_audio_p95_ms": round(float(np.percentile(heard.first, 95)) * 1e3),
        "first_audio_cpu_ms": round(statistics.median(heard.first_cpu) * 1e3, 1) if calls == 1 else None,
        "real_time_factor": round(sum(heard.made) / heard.said_s, 3),
        "late_pieces": len(heard.late),
        "latest_ms": round(max(heard.late, default=0.0) * 1e3),
        "cpu_ms_per_s": round(cpu / heard.said_s * 1e3, 1),
        "pss_mb": pss,
        "load": round(os.getloadavg()[0], 1),
    }


def _cpu(pool: WorkerPool) -> float:
    times = [psutil.Process(worker.pid).cpu_times() for worker in pool.workers if worker.pid]
    return float(sum(each.user + each.system for each in times))


def _run_ns(worker: Worker) -> int:
    """Return for how long a worker has been running on a processor, in ns; 0 where Linux does not say it."""
    path = Path(f"/proc/{worker.pid}/schedstat")
    return int(path.read_text().split()[0]) if path.exists() else 0


def _read(path: Path) -> bytes:
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE
    return bytes(samples.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--voices", nargs="+", choices=("piper", "espeak"), default=["piper", "espeak"])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument(
        "--hearing", action="store_true", help="each call is heard by the offline recogniser, too"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Found] = []
    for voice in options.voices:
        for calls in options.calls:
            row = asyncio.run(measure(voice, calls, options.seconds, options.hearing))
            found.append(row)
            print(
                f"{voice}, {calls} at once: " + ", ".join(f"{key} {row[key]}" for key in list(row)[3:]),
                flush=True,
            )
    close_pools()
    if options.json:
        print(json.dumps({"benchmark": "voice", "rows": found}))


if __name__ == "__main__":
    main()
