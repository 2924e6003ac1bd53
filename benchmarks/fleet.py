"""What a large fleet asks of its directory: gateways, agents and calls in virtual time, with what goes wrong.

    python -m benchmarks.fleet                                       200 gateways, 5,000 agents, 100,000 calls: minutes
    python -m benchmarks.fleet --gateways 20 --agents 500 --calls 10000
    python -m benchmarks.fleet --plot docs/images/fleet.svg --json fleet.json
    python -m benchmarks.fleet --measure                             the constants, measured on this machine

The gateways' switchboards, calls and cluster are the real code; agents, sound and the NATS server are models
(`benchmarks/fleet_model.py`), with constants that `--measure` finds with a real NATS server
(`benchmarks/fleet_measures.py`). Callers reach a gateway by chance, and ask for an agent by chance. When the calls are
there, one gateway is killed, then as many at once as `--killed` says, and then the NATS server is gone for 20 s.
Exits with 1 if a call had two agents, or an agent more calls than places.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from loguru import logger

from benchmarks.benchmark_options import json_file, new_file
from benchmarks.fleet_measures import MEASURED, measure
from benchmarks.fleet_model import Carried, Fleet, FleetDirectory
from benchmarks.fleet_plot import plot_of
from piopiy_pipeline.gateway.cluster.nats_directory import RECONNECT_S
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

FILL_S = 60.0
STEADY_S = 20.0
AFTER_S = 10.0
DOWN_S = 20.0


async def simulate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the fleet, and return what was found."""
    loop = asyncio.get_running_loop()
    rng = random.Random(options.seed)
    fleet = Fleet(
        rng,
        talk_s=options.talk_s,
        registration_s=MEASURED["registration_ms"] / 1e3,
        broker_s=MEASURED["broker_ms"] / 1e3,
    )
    began = loop.time()
    marks: dict[str, float] = {}
    await fleet.begin(options.gateways, options.agents, options.capacity, options.agent_ids)
    marks["begun"] = loop.time()
    print(f"{options.gateways} gateways, {options.agents} agents are there", file=sys.stderr)
    marks["calls begin"] = loop.time()
    placing = asyncio.create_task(place_calls(fleet, options), name="place calls")
    await asyncio.sleep(FILL_S + 5)
    fleet.accept_s.clear()
    roams_before, marks["steady"] = fleet.roams, loop.time()
    await asyncio.sleep(STEADY_S)
    marks["steady over"] = loop.time()
    print(f"{len(fleet.confirmed)} calls are there", file=sys.stderr)
    result: dict[str, Any] = {
        "calls": fleet.under_way(),
        "calls a second": round(options.calls / options.talk_s),
        "accept ms": percentiles(fleet.accept_s, 1e3),
        "summonses a second": round((fleet.roams - roams_before) / STEADY_S),
        "roaming connections a gateway": round(fleet.roaming_links() / options.gateways),
        "known": statistics.mean(len(one.cluster.others.there(loop.time())) for one in fleet.there),
    }
    for name, number in (("one killed", 1), ("many killed", options.killed)):
        fleet.home_after_s.clear()
        marks[name] = loop.time()
        before = len(fleet.confirmed)
        doomed = rng.sample(fleet.there, min(number, len(fleet.there) - 1))
        for gateway in doomed:
            gateway.kill()
        await asyncio.sleep(AFTER_S)
        result[name] = {
            "gateways": len(doomed),
            "agents that looked for a home": len(fleet.home_after_s),
            "home ms": percentiles(fleet.home_after_s, 1e3),
            "without a home after 10 s": len(fleet.homeless),
            "calls before": before,
        }
    marks["server gone"] = loop.time()
    await break_server(fleet, rng, marks)
    result["server"] = {"known again": marks.pop("known again", None)}
    placing.cancel()
    result["wrong"] = fleet.wrong
    result["traffic"] = {
        "start": traffic(fleet, began, marks["begun"], options.gateways),
        "steady": traffic(fleet, marks["steady"], marks["steady over"], options.gateways),
        "one killed": traffic(fleet, marks["one killed"], marks["one killed"] + 2, options.gateways),
        "many killed": traffic(fleet, marks["many killed"], marks["many killed"] + 2, options.gateways),
        "server back": traffic(fleet, marks["server back"], marks["server back"] + 4, options.gateways),
    }
    result["by time"] = by_time(fleet, began)
    shown = ("calls begin", "steady", "one killed", "many killed", "server gone", "server back")
    result["marks"] = {name: round(marks[name] - began, 1) for name in shown}
    return result


async def place_calls(fleet: Fleet, options: argparse.Namespace) -> None:
    """Place as many calls as are wanted, and then as many as end."""
    loop = asyncio.get_running_loop()
    number, began = 0, loop.time()
    # A call that was placed in the meantime may be over: so many more begin that the number is there at the end.
    lasting = options.calls / options.talk_s
    filling = options.calls / FILL_S + lasting / 2
    while True:
        rate = filling if loop.time() < began + FILL_S else lasting
        for _ in range(max(1, round(rate * 0.02))):
            number += 1
            fleet.place(f"call-{number}", f"desk-{fleet.rng.randrange(options.agent_ids):04}")
        await asyncio.sleep(max(1, round(rate * 0.02)) / rate)


async def break_server(fleet: Fleet, rng: random.Random, marks: dict[str, float]) -> None:
    """Take the server away for a while, and have the gateways connect again as their client does."""
    loop, broker = asyncio.get_running_loop(), fleet.fleet_broker
    broker.cut = {one.name for one in fleet.there}
    for gateway in fleet.there:
        gateway.cluster.on_connection()
    await asyncio.sleep(DOWN_S)
    marks["server back"] = loop.time()
    for gateway in fleet.there:
        loop.call_later(rng.uniform(0, RECONNECT_S), connect_again, fleet, gateway)
    await asyncio.sleep(RECONNECT_S)
    most = len(fleet.there) - 1
    for _ in range(100):
        if all(len(one.cluster.others.there(loop.time())) == most for one in fleet.there):
            marks["known again"] = round(loop.time() - marks["server back"], 2)
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(AFTER_S)


def connect_again(fleet: Fleet, gateway: Any) -> None:
    fleet.fleet_broker.cut.discard(gateway.name)
    assert isinstance(gateway.directory, FleetDirectory)
    gateway.directory.come_back()
    gateway.cluster.on_connection()


def traffic(fleet: Fleet, begin_s: float, end_s: float, gateways: int) -> dict[str, Any]:
    """Return what the broker carried in this time, a second, and what that costs."""
    took_s = end_s - begin_s
    kinds = fleet.fleet_broker.between(begin_s, end_s)
    total = Carried()
    for one in kinds.values():
        total.messages += one.messages
        total.deliveries += one.deliveries
        total.octets += one.octets
    broker_us = (
        total.messages * MEASURED["broker_us_taken"]
        + total.deliveries * MEASURED["broker_us_given"]
        + total.octets / 1e3 * MEASURED["broker_us_kb"]
    )
    presence = kinds.get("presence", Carried())
    octets = presence.octets / max(1, presence.messages + presence.deliveries)
    gateway_us = total.deliveries * (MEASURED["client_us"] + MEASURED["message_us"]) / gateways
    gateway_us += total.octets / 2e3 * MEASURED["presence_us_kb"] / gateways  # nearly all of it is presence
    return {
        "in a second": round(total.messages / took_s),
        "out a second": round(total.deliveries / took_s),
        "MB a second": round(total.octets / took_s / 1e6, 2),
        "presence bytes": round(octets),
        "broker cores": round(broker_us / 1e6 / took_s, 4),
        "gateway cores": round(gateway_us / 1e6 / took_s, 4),
        "a gateway, kB a second": round(total.octets / took_s / 1e3 / gateways, 1),
        "kinds, out a second": {name: round(one.deliveries / took_s) for name, one in sorted(kinds.items())},
    }


def by_time(fleet: Fleet, began: float) -> list[dict[str, float]]:
    """Return what was given out and how many bytes went each second."""
    seconds: dict[int, dict[str, float]] = {}
    for (slot, _), one in fleet.fleet_broker.carried.items():
        second = int(slot / 10 - began)
        found = seconds.setdefault(second, {"s": second, "out": 0, "MB": 0.0})
        found["out"] += one.deliveries
        found["MB"] += one.octets / 1e6
    return [
        {"s": one["s"], "out": one["out"], "MB": round(one["MB"], 3)} for _, one in sorted(seconds.items())
    ]


def percentiles(values: Sequence[float], factor: float) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        name: round(ordered[int(share * (len(ordered) - 1))] * factor, 1)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def table(result: dict[str, Any]) -> str:
    """Return what was found as text."""
    head = ("", "in/s", "out/s", "MB/s", "presence, bytes", "broker, cores", "a gateway, cores")
    rows = [head]
    for name, one in result["traffic"].items():
        rows.append(
            (
                name,
                f"{one['in a second']:,}",
                f"{one['out a second']:,}",
                f"{one['MB a second']:,}",
                f"{one['presence bytes']:,}",
                f"{one['broker cores']:.3f}",
                f"{one['gateway cores']:.4f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rest = [
        *("calls", "calls a second", "accept ms", "summonses a second", "roaming connections a gateway"),
        *("one killed", "many killed", "server", "wrong", "run"),
    ]
    return "\n".join([*lines, *(f"{name}: {result[name]}" for name in rest)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gateways", type=int, default=200)
    parser.add_argument("--agents", type=int, default=5000, help="instances")
    parser.add_argument("--agent-ids", type=int, default=50, help="the names that they share")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--capacity", type=int, default=24, help="of each instance")
    parser.add_argument("--talk-s", type=float, default=180, help="how long a call lasts on average")
    parser.add_argument("--killed", type=int, default=20, help="gateways that die at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="measure the constants, and do nothing else")
    parser.add_argument("--json", type=new_file, help="where to write all figures, too")
    parser.add_argument("--plot", type=new_file, help="where to draw what the server carries, as an SVG")
    parser.add_argument("--beside", type=json_file, help="the --json of an older run, to be drawn as well")
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="CRITICAL")
    if options.measure:
        print(json.dumps(measure(), indent=1))
        return
    began, before_mb = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = run_virtual(lambda: simulate(options), limit_s=3600, wall_limit_s=7200)
    result["run"] = {
        "CPU s": round(time.process_time() - began),
        "memory of the simulation MB": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb
        ),
    }
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        options.plot.write_text(plot_of(result, options.beside))
    print(json.dumps({key: value for key, value in result.items() if key != "by time"}))
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
