"""CPU time of the agent per second of a call, beside stock pipecat, with services that answer at once.

    python benchmarks/agent_cpu.py             1, 10 and 20 calls, 30 s each, both sides
    python benchmarks/agent_cpu.py --quick     the same in a third of the time, and noisier
    python benchmarks/agent_cpu.py --json      one JSON object as the last line

Ours is an `Agent` with a `VoiceAgent` a call, at a real gateway; stock is pipecat's WebSocket server
transport, VAD processor and pipeline worker with their defaults (without RTVI). Callers and gateway
run in another process than the agent, whose own CPU clock is read. The callers' recording, the
services and the event loop are the same on both sides.

Compare with stock in the same run, not with numbers from another machine: with few calls, most of
the time goes into waking a core that has been idle and whose caches a neighbour has used, and that
differs between machines by several times.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 60.0
SIDES = ("stock", "ours")
Found = dict[str, Any]


class Failed(Exception):
    """A process of the measurement did not do what it should; the message has the end of its log."""


class Child:
    """A process of this benchmark that answers in JSON lines."""

    def __init__(self, module: str, **options: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}"]
        for name, value in options.items():
            if isinstance(value, list):
                command += [f"--{name}", *map(str, value)]
            elif value is not None:
                command += [f"--{name}", str(value)]
        self._name = f"{module} ({options['side']}, {options['calls']} calls)"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self, key: str, limit_s: float) -> Found:
        """Return the next line, which must have `key`. Raises `Failed` after `limit_s` seconds."""
        assert self._process.stdout is not None
        overdue = threading.Timer(limit_s, self._process.kill)
        overdue.start()
        try:
            line = self._process.stdout.readline()
        finally:
            overdue.cancel()
        found = json.loads(line) if line.startswith("{") else {}
        if key not in found:
            raise Failed(f"{self._name} did not say {key!r} within {limit_s:g} s:\n{self._tail()}")
        return dict(found)

    def let_go(self) -> None:
        """Close the standard input of the process, whose end it waits for."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        self.let_go()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _tail(self) -> str:
        self._log.seek(0)
        return "".join(self._log.readlines()[-25:]) or "(it logged nothing)"


@contextlib.contextmanager
def child(module: str, **options: object) -> Iterator[Child]:
    process = Child(module, **options)
    try:
        yield process
    finally:
        process.close()


def measure(side: str, calls: int, options: argparse.Namespace) -> Found:
    """Make one measurement, from the start of both processes to their end."""
    token = secrets.token_hex(8)
    common: dict[str, Any] = {"side": side, "calls": calls, "rate": options.rate}
    agent_options = {
        **common,
        "seconds": options.seconds,
        "loop": options.loop,
        "profile": options.profile.resolve() if options.profile else None,
    }
    limit_s = START_LIMIT_S + calls + options.seconds
    with contextlib.ExitStack() as stack:
        if side == "ours":
            callers = stack.enter_context(child("cpu_callers", token=token, **common))
            url = callers.answer("url", START_LIMIT_S)["url"]
            agent = stack.enter_context(child("cpu_agents", token=token, url=url, **agent_options))
        else:
            agent = stack.enter_context(child("cpu_agents", **agent_options))
            ports = agent.answer("ports", START_LIMIT_S)["ports"]
            callers = stack.enter_context(child("cpu_callers", ports=ports, **common))
        found = agent.answer("steady_ms", limit_s)
        callers.let_go()
        found |= agent.answer("total_ms", START_LIMIT_S)
        found |= callers.answer("heard_mb", START_LIMIT_S)
    if found["did"]["answers"] < 1 or not all(found["heard_mb"]):
        raise Failed(f"{side}, {calls} calls: the calls were silent, so this measured nothing: {found}")
    return found


def summary(runs: list[Found]) -> Found:
    """Return the medians of several measurements of the same thing."""
    keys = ("steady_ms", "total_ms", "peak_mb", "threads", "tasks")
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in keys} | {"runs": runs}


def table(results: dict[str, dict[str, Found]]) -> str:
    """Return the results as a table for people."""
    names = f"{'steady':>8} {'total':>8} {'peak MB':>8} {'threads':>8} {'tasks':>6} {'turns':>6}"
    head = f"{'calls':>5}  {'':<6} {names}  of stock"
    lines = ["CPU ms per call-second", head]
    for calls, sides in results.items():
        for side, found in sides.items():
            share = ""
            if side == "ours" and "stock" in sides:
                share = f"{found['steady_ms'] / sides['stock']['steady_ms']:.0%}"
            lines.append(
                f"{calls:>5}  {side:<6} {found['steady_ms']:>8.2f} {found['total_ms']:>8.2f} "
                f"{found['peak_mb']:>8.0f} {found['threads']:>8.0f} {found['tasks']:>6.0f} {_turns(found):>6}  {share}"
            )
        if len({_turns(found) for found in sides.values()}) > 1:
            lines.append(
                f"{calls:>5}  the sides heard different numbers of turns: one of them was starved of CPU"
            )
    lines.append("steady: all calls up, after the first seconds; total: with their beginnings and ends")
    return "\n".join(lines)


def _turns(found: Found) -> int:
    """Return how many turns of the callers were heard in all runs."""
    return sum(int(run["did"]["utterances"]) for run in found["runs"])


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--calls", type=int, nargs="+", default=[1, 10, 20], metavar="N")
    arguments.add_argument("--side", choices=SIDES, help="only this one")
    arguments.add_argument("--seconds", type=float, help="length of a measurement (default: 30)")
    arguments.add_argument("--repeats", type=int, default=1, help="measurements of each; the median counts")
    arguments.add_argument("--rate", type=int, choices=[8000, 16000, 24000], default=16000)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument("--profile", type=Path, help="write a cProfile of our agent (implies --side ours)")
    arguments.add_argument("--quick", action="store_true", help="10 s a measurement")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = arguments.parse_args()
    if (
        min(options.calls) < 1
        or options.repeats < 1
        or (options.seconds is not None and options.seconds <= 0)
    ):
        arguments.error("--calls, --repeats and --seconds must be positive")
    options.seconds = options.seconds or (10.0 if options.quick else 30.0)
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    sides = ("ours",) if options.profile else (options.side,) if options.side else SIDES
    results: dict[str, dict[str, Found]] = {}
    try:
        for calls in options.calls:
            for side in sides:
                runs = []
                for _ in range(options.repeats):
                    print(f"{side}, {calls} calls, {options.seconds:g} s ...", file=sys.stderr, flush=True)
                    runs.append(measure(side, calls, options))
                results.setdefault(str(calls), {})[side] = summary(runs)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    if options.json:
        ratios = {
            calls: round(found["stock"]["steady_ms"] / found["ours"]["steady_ms"], 2)
            for calls, found in results.items()
            if len(found) == 2
        }
        setting = {"seconds": options.seconds, "rate": options.rate, "loop": options.loop}
        print(
            json.dumps(
                {"unit": "ms CPU per call-second", **setting, "results": results, "stock_over_ours": ratios}
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
