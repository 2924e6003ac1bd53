"""Measures what recording a call costs: CPU of the loop's thread and of the thread that writes, per second of
a call.

    python benchmarks/recorder.py [--calls 40] [--seconds 10]

Both sides speak all the time, in frames of 20 ms, at the pace of real calls; the file goes to a temporary
folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.recordings.recorder import GatewayRecorder


async def measure(calls: int, seconds: float, rate: int) -> tuple[float, float]:
    """Return the CPU time in ms for each call and second: on the loop's thread, and in the whole process."""
    frame = os.urandom(round(rate * FRAME_S) * 2)
    with tempfile.TemporaryDirectory() as folder:
        recorder = GatewayRecorder(Path(folder))
        recordings = [recorder.begin(CallInfo("bench", f"call-{number}"), rate) for number in range(calls)]
        loop = asyncio.get_running_loop()
        begin, process = loop.time(), time.process_time()
        on_loop = 0.0
        for tick in range(1, round(seconds / FRAME_S) + 1):
            before = time.thread_time()
            for recording in recordings:
                assert recording is not None
                recording.bot(frame)
                recording.caller(frame)
            on_loop += time.thread_time() - before
            await asyncio.sleep(max(0.0, begin + tick * FRAME_S - loop.time()))
        await recorder.close()
        used = time.process_time() - process
        assert recorder.lost_s == 0, "the disk did not keep up"
    per = 1000 / calls / seconds
    return on_loop * per, used * per


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    for rate in (8000, 16000, 48000):
        on_loop, used = asyncio.run(measure(arguments.calls, arguments.seconds, rate))
        print(f"{rate:6} Hz: {on_loop:.2f} ms per call-second on the loop, {used:.2f} in all")


if __name__ == "__main__":
    main()
