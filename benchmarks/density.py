"""What a call costs an agent, beside stock pipecat in the same run, from one call to where it ends.

    python -m benchmarks.density                         1 to 100 calls, 20 s each, both sides; takes half an hour
    python -m benchmarks.density --calls 20 --json       one number of calls; the last line is one JSON object
    python -m benchmarks.density --calls 1 5 10 20 40 60 --repeats 3 --plot density.svg

Ours is an `Agent` with a `VoiceAgent` a call, at a real gateway; stock is pipecat's WebSocket server
transport, VAD processor and pipeline worker with their defaults (without RTVI), in an environment that this
program makes in a temporary folder and that holds nothing of ours (``--stock-python`` takes one that is there).
Callers and gateway run in another process than the agent, whose own CPU clock is read. The callers' recording, the
services and the event loop are the same on all sides, which take turns.

With ``--peers livekit`` LiveKit Agents stand beside them: an `AgentSession` a call, without a server
(`density_livekit`). Its audio comes and goes in its own process, so the cost of a media transport is in the numbers of
the others only, and a gap of its is one in the sink that stands for a caller.

Measured while all calls are up: CPU time of the agent per call-second; how late timers of its event loop are (p99);
the longest gap in what a caller's telephone plays, behind a buffer of 60 ms; and its largest memory.
`cpu_ratio` in the JSON is ours by stock at 20 calls, the median of the pairs.

CPU time counts on a shared machine, too, as long as nobody starves: a side that gets less CPU than it asks for
does less, and seems cheaper. Such a measurement is marked "starved": one timer in twenty was late by more than 50 ms,
it took a whole core, or a caller heard nothing at all. Lag and gaps are by the clock, and other
programs make them longer.

A machine on which a side starves at 20 calls does not say what they cost. There, 20 calls are measured again with all
clocks at half the speed, or at a quarter (`slow_clock`): the same work, in twice or four times the time. All numbers
are then per second of those clocks, but for `core`; `cpu_ratio_speed` in the JSON says at which speed `cpu_ratio` was
measured, and ``--speed`` measures everything so.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import secrets
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.benchmark_options import count, interpreter_with, length_s, new_file
from benchmarks.child_process import START_LIMIT_S, Failed, Found, child
from benchmarks.density_plot import plot_of
from benchmarks.stock_environment import LIVEKIT, make_environment, make_stock_environment

SIDES = ("stock", "ours")
PEERS = ("livekit",)
CALLS = [1, 5, 10, 20, 40, 60, 80, 100]
RATIO_AT = 20
SPEEDS = (1.0, 0.5, 0.25)
"""Of all clocks. Each is tried if a side starves with the one before."""
MEDIANS = (
    *("steady_ms", "total_ms", "core", "lag_p95_ms", "lag_p99_ms", "worst_gap_ms", "gaps"),
    *("silent_calls", "callers_lag_p99_ms", "peak_mb", "threads", "tasks"),
)
LATE_MS = 50.0
Results = dict[str, dict[str, Found]]


def measure(side: str, calls: int, options: argparse.Namespace, speed: float) -> Found:
    """Make one measurement, from the start of both processes to their end, with their clocks at `speed`.

    Raises:
        Failed: A process did not do what it should, or nothing was said.
    """
    token = secrets.token_hex(8)
    common: dict[str, Any] = {"side": side, "calls": calls, "rate": options.rate, "seconds": options.seconds}
    common["speed"] = speed
    agent_options = {
        **common,
        "loop": options.loop,
        "profile": options.profile.resolve() if options.profile else None,
    }
    start_limit_s = START_LIMIT_S / speed
    limit_s = 2 * start_limit_s + (calls + options.seconds) / speed
    with contextlib.ExitStack() as stack:
        if side == "ours":
            callers = stack.enter_context(child("density_callers", token=token, **common))
            url = callers.answer("url", start_limit_s)["url"]
            agent = stack.enter_context(child("density_agents", token=token, url=url, **agent_options))
        elif side == "livekit":
            agent = stack.enter_context(
                child("density_livekit", python=options.livekit_python, **common, loop=options.loop)
            )
            callers = agent  # in the same process: it has no media transport
        else:
            agent = stack.enter_context(child("density_agents", python=options.stock_python, **agent_options))
            ports = agent.answer("ports", start_limit_s)["ports"]
            callers = stack.enter_context(child("density_callers", ports=ports, **common))
        found = agent.answer("steady_ms", limit_s)
        callers.let_go()
        found |= callers.answer("heard_mb", start_limit_s)
        found |= agent.answer("total_ms", start_limit_s)
    found["core"] = round(found["core"] * speed, 3)  # of the wall's seconds
    if found["did"]["answers"] < 1:
        raise Failed(f"{side}, {calls} calls: no call was answered, so this measured nothing: {found}")
    found["silent_calls"] = found["heard_mb"].count(0.0)
    found["starved"] = is_starved(found)
    return found


def is_starved(found: Found) -> bool:
    """Return whether a side may have got less CPU than it asked for: it took a whole core, was late, or was not heard.

    One that takes a whole core does less than it should before a caller has a gap: stock pipecat took 109 ms a
    call-second so, and 129 ms where it had room.
    """
    return bool(found["lag_p95_ms"] > LATE_MS or found["core"] > 0.95 or found["silent_calls"] > 0)


def summary(runs: list[Found]) -> Found:
    """Return the medians of several measurements of the same thing."""
    found: Found = {key: round(statistics.median(run[key] for run in runs), 3) for key in MEDIANS}
    return found | {"starved": any(run["starved"] for run in runs), "runs": runs}


def ratio_of(sides: Mapping[str, Found]) -> float | None:
    """Return the CPU time of ours by that of stock, the median of the pairs in which neither was starved, or None."""
    pairs = [
        (ours["steady_ms"], stock["steady_ms"])
        for ours, stock in zip(
            sides.get("ours", {}).get("runs", []), sides.get("stock", {}).get("runs", []), strict=False
        )
        if not (ours["starved"] or stock["starved"])
    ]
    return round(statistics.median(ours / stock for ours, stock in pairs), 3) if pairs else None


def table(results: Results) -> str:
    """Return the results as a table for people."""
    lines = [
        f"{'calls':<10}  {'side':<8}{'CPU ms':>8}{'core':>7}{'lag p99':>9}{'worst gap':>11}{'gaps':>6}"
        f"{'MB':>6}{'threads':>9}{'turns':>7}  of stock"
    ]
    for calls, sides in results.items():
        for side, found in sides.items():
            if "failed" in found:
                lines.append(f"{calls:<10}  {side:<8}  did not hold: {found['failed'].splitlines()[0]}")
                continue
            ratio = ratio_of(sides) if side == "ours" else None
            silent = f", {found['silent_calls']:.0f} calls silent" if found["silent_calls"] else ""
            lines.append(
                f"{calls:<10}  {side:<8}{found['steady_ms']:>8.2f}{found['core']:>7.2f}{found['lag_p99_ms']:>9.1f}"
                f"{found['worst_gap_ms']:>11.1f}{found['gaps']:>6.0f}{found['peak_mb']:>6.0f}{found['threads']:>9.0f}"
                f"{_turns(found):>7}  {'' if ratio is None else f'{ratio:.0%}'}"
                f"{'  starved' if found['starved'] else ''}"
                f"{silent}"
            )
    lines.append(
        "CPU ms: of the agent per call-second; core: of one; lag, gap in ms; gaps: of 20 ms and more, of all calls"
    )
    return "\n".join(lines)


def _turns(found: Found) -> int:
    """Return how many turns of the callers were heard in all runs. Where the sides differ, one was starved."""
    return sum(int(run["did"]["utterances"]) for run in found["runs"])


def sides_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the sides that are measured, in turn."""
    if options.profile:
        return ("ours",)
    return (options.side,) if options.side else (*SIDES, *options.peers)


def measure_all(options: argparse.Namespace) -> dict[float, Results]:
    """Measure each number of calls, and 20 again at lower speeds for as long as a side starves. Return the results by
    the speed of the clocks.
    """
    results = {
        options.speed: {str(calls): measure_calls(calls, options, options.speed) for calls in options.calls}
    }
    if RATIO_AT in options.calls and {"stock", "ours"} <= set(sides_of(options)):
        for speed in SPEEDS:
            if speed < options.speed and ratio_found(results)[0] is None:
                results[speed] = {str(RATIO_AT): measure_calls(RATIO_AT, options, speed)}
    return results


def measure_calls(calls: int, options: argparse.Namespace, speed: float) -> dict[str, Found]:
    """Measure a number of calls, with the sides in turn."""
    sides = sides_of(options)
    runs: dict[str, list[Found]] = {side: [] for side in sides}
    failed: dict[str, str] = {}
    slowed = f" at {speed:g} of the speed" if speed != 1.0 else ""
    for _ in range(options.repeats):
        for side in sides:
            print(f"{side}, {calls} calls, {options.seconds:g} s{slowed} ...", file=sys.stderr, flush=True)
            try:
                runs[side].append(measure(side, calls, options, speed))
            except Failed as error:
                failed[side] = str(error)
                print(error, file=sys.stderr, flush=True)
    return {side: summary(runs[side]) if runs[side] else {"failed": failed[side]} for side in sides}


def ratio_found(results: Mapping[float, Results]) -> tuple[float | None, float | None]:
    """Return `ratio_of` 20 calls and the speed of the clocks at which neither side starved, or twice None."""
    for speed, measured in results.items():
        ratio = ratio_of(measured.get(str(RATIO_AT), {}))
        if ratio is not None:
            return ratio, speed
    return None, None


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
        help=f"numbers of calls (default: {' '.join(map(str, CALLS))})",
    )
    arguments.add_argument(
        "--side", choices=[*SIDES, *PEERS], help="only this one: stock pipecat, ours, or a peer"
    )
    arguments.add_argument(
        "--peers", choices=PEERS, nargs="+", default=[], help="beside stock and ours; takes 500 MB more"
    )
    arguments.add_argument("--seconds", type=length_s, help="length of a measurement (default: 20)")
    arguments.add_argument(
        "--repeats", type=count, default=1, help="measurements of each; the median counts (default: 1)"
    )
    arguments.add_argument(
        "--rate",
        type=int,
        choices=[8000, 16000, 24000],
        default=16000,
        help="of the audio, in Hz (default: 16000)",
    )
    arguments.add_argument(
        "--speed",
        type=float,
        choices=SPEEDS,
        default=1.0,
        help="of all clocks, on a slow machine (default: 1)",
    )
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument(
        "--profile", type=new_file, help="write a cProfile of our agent (implies --side ours)"
    )
    arguments.add_argument("--quick", action="store_true", help="10 s a measurement")
    arguments.add_argument(
        "--stock-python",
        type=interpreter_with("pipecat"),
        help="an interpreter with pipecat-ai[websocket] 1.14 for stock",
    )
    arguments.add_argument(
        "--livekit-python",
        type=interpreter_with("livekit"),
        help=f"an interpreter with {LIVEKIT[0]} for that side",
    )
    arguments.add_argument("--plot", type=new_file, metavar="SVG", help="draw the results")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments.add_argument(
        "--at-most", type=float, metavar="RATIO", help=f"fail if cpu_ratio at {RATIO_AT} calls is more"
    )
    options = arguments.parse_args()
    if options.at_most is not None and RATIO_AT not in options.calls:
        arguments.error(f"--at-most needs {RATIO_AT} among --calls")
    if options.at_most is not None and not {"stock", "ours"} <= set(sides_of(options)):
        arguments.error("--at-most needs both sides: it is no option beside --side and --profile")
    options.calls = sorted(set(options.calls))
    options.seconds = options.seconds or (10.0 if options.quick else 20.0)
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    with tempfile.TemporaryDirectory(prefix="density-") as folder:
        if options.stock_python is None and "stock" in sides_of(options):
            print("making an environment with stock pipecat ...", file=sys.stderr, flush=True)
            options.stock_python = make_stock_environment(Path(folder))
        if options.livekit_python is None and "livekit" in sides_of(options):
            print("making an environment with LiveKit Agents ...", file=sys.stderr, flush=True)
            options.livekit_python = make_environment(Path(folder) / "livekit", LIVEKIT)
        results = measure_all(options)
    for speed, measured in results.items():
        if speed != 1.0:
            print(f"with all clocks at {speed:g} of the speed:")
        print(table(measured))
    if options.plot:
        options.plot.write_text(plot_of(results[options.speed]))
    ratio, ratio_speed = ratio_found(results)
    at_first = results.pop(options.speed)
    ratios = {calls: found for calls, sides in at_first.items() if (found := ratio_of(sides)) is not None}
    if options.json:
        setting = {
            "seconds": options.seconds,
            "rate": options.rate,
            "loop": options.loop,
            "speed": options.speed,
        }
        said = {"cpu_ratio": ratio, "cpu_ratio_speed": ratio_speed, "cpu_ratios": ratios}
        print(json.dumps({**said, **setting, "results": at_first, "slowed": results}))
    if options.at_most is not None and ratio is None:
        print(
            f"cpu_ratio at {RATIO_AT} calls is not known: a side was starved, or did not hold",
            file=sys.stderr,
        )
        return 1
    if options.at_most is not None and ratio is not None and ratio > options.at_most:
        print(f"cpu_ratio at {RATIO_AT} calls is {ratio}, more than {options.at_most:g}", file=sys.stderr)
        return 1
    return 0 if any("failed" not in found for sides in at_first.values() for found in sides.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
