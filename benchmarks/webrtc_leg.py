"""CPU per browser call of the gateway's WebRTC leg, beside bare aiortc in the same run.

    python benchmarks/webrtc_leg.py                   1, 5 and 10 calls with 1 worker, and with 2
    python benchmarks/webrtc_leg.py --workers 1       with 1 only; also --calls 1 5 10, --seconds 10
    python benchmarks/webrtc_leg.py --quick           a third of the time, and noisier
    python benchmarks/webrtc_leg.py --json            one JSON object as the last line

Every caller speaks all the time and hears all of it again: 50 packets a second each way. Bare aiortc
sends each connection its own track back. Ours does what a call takes: the worker's sound goes to the
gateway, over a WebSocket to an agent, back through the playout, and out; the gateway's time and the
workers' are counted, those of callers and agent (another process) are not. Numbers are percent of one
core for one call, medians of several windows. Compare within a run, not between machines.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
WARM_UP_S = 2.0
START_LIMIT_S = 60.0


class Failed(Exception):
    """A process of the measurement did not do what it should."""


class Child:
    """A process of this benchmark that speaks JSON lines."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def say(self, message: dict[str, Any]) -> None:
        """Write a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return the next line. Raises `Failed` with the end of the log if there is none within `START_LIMIT_S`."""
        assert self._process.stdout is not None
        overdue = threading.Timer(START_LIMIT_S, self._process.kill)
        overdue.start()
        try:
            line = self._process.stdout.readline()
        finally:
            overdue.cancel()
        if not line:
            self._log.seek(0)
            raise Failed(f"{self._name} has ended, or said nothing: {self._log.read()[-2000:]}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def close(self) -> None:
        """Close the standard input of the process, and end the process after some seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def children() -> Iterator[list[Child]]:
    """Yield a list, and close the processes in it at the end, the last one first."""
    running: list[Child] = []
    try:
        yield running
    finally:
        for child in reversed(running):
            child.close()


def measure(side: str, workers: int, calls: int, seconds: float, windows: int) -> dict[str, Any]:
    """Return percent of a core for one call, in all and by part. Raises `Failed` if no audio came through."""
    with children() as running:
        server = Child("webrtc_sides", side, "--workers", str(workers))
        running.append(server)
        hello = server.hear()
        url = ["--url", hello["url"]] if hello["url"] else []
        callers = Child("webrtc_callers", "--calls", str(calls), *url)
        running.append(callers)
        for _ in range(calls):
            server.say(callers.hear())
        for _ in range(calls):
            callers.say(server.hear())
        wait_for_sound(callers)
        time.sleep(WARM_UP_S)
        parts = {name: [psutil.Process(pid) for pid in pids] for name, pids in hello["pids"].items()}
        found: dict[str, list[float]] = {name: [] for name in parts}
        heard = []
        for _ in range(windows):
            before, heard_before, began = cpu(parts), count(callers), time.monotonic()
            time.sleep(seconds)
            lasted, after, heard_after = time.monotonic() - began, cpu(parts), count(callers)
            for name in parts:
                found[name].append(100 * (after[name] - before[name]) / lasted / calls)
            heard.append((sum(heard_after) - sum(heard_before)) / lasted / calls)
        if min(heard) < 30 or statistics.median(heard) < 45:
            raise Failed(
                f"{side}: in one window callers heard {min(heard):.1f} packets a second of 50: too busy a machine?"
            )
        total = [sum(window) for window in zip(*found.values(), strict=True)]
        return {
            "side": side,
            "workers": workers if side == "ours" else None,
            "calls": calls,
            "percent": round(statistics.median(total), 2),
            "parts": {name: round(statistics.median(values), 2) for name, values in found.items()},
            "windows": [round(one, 2) for one in total],
            "packets_heard": [round(one, 1) for one in heard],
        }


def wait_for_sound(callers: Child) -> None:
    """Wait until every caller hears something."""
    deadline = time.monotonic() + START_LIMIT_S
    while not all(count(callers)):
        if time.monotonic() > deadline:
            raise Failed(f"not every caller heard something within {START_LIMIT_S:g} s")
        time.sleep(0.1)


def count(callers: Child) -> list[int]:
    """Return how many packets each caller has heard."""
    callers.say({"count": True})
    heard: list[int] = callers.hear()["heard"]
    return heard


def cpu(parts: dict[str, list[psutil.Process]]) -> dict[str, float]:
    """Return the seconds of CPU that each part has used so far."""
    return {
        name: sum(sum(process.cpu_times()[:2]) for process in processes) for name, processes in parts.items()
    }


def main() -> int:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--calls", type=int, nargs="+", default=[1, 5, 10])
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options.add_argument("--seconds", type=float, default=8.0, help="of each window")
    options.add_argument("--windows", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    seconds = 3.0 if chosen.quick else chosen.seconds
    sides = [("aiortc", 0), *(("ours", workers) for workers in chosen.workers)]
    results = []
    print("percent of a core for one call\n")
    print(f"{'':22} {'calls':>5} {'total':>7}  parts")
    for calls in chosen.calls:
        for side, workers in sides:
            try:
                result = measure(side, workers, calls, seconds, chosen.windows)
            except Failed as failure:
                print(failure, file=sys.stderr)
                return 1
            results.append(result)
            name = "bare aiortc echo" if side == "aiortc" else f"ours, workers: {workers}"
            parts = ", ".join(f"{part} {value:.2f}" for part, value in result["parts"].items())
            print(f"{name:22} {calls:5} {result['percent']:7.2f}  {parts}", flush=True)
    if chosen.json:
        print(json.dumps({"seconds": seconds, "windows": chosen.windows, "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
