"""Whether a caller waits longer than in another version of this package: its benchmarks in turns with ours.

    git worktree add --detach /tmp/older COMMIT && cd /tmp/older && sh scripts/setup.sh
    python -m benchmarks.beside /tmp/older                          greeting, answer and barge-in, three rounds
    python -m benchmarks.beside /tmp/older --what barge_in --rounds 5 --json
    python -m benchmarks.beside /tmp/older --at-most 1.1            fails if a median is more than a tenth above theirs

Both versions are measured by the benchmarks of this checkout, each with the interpreter of its own: a copy of
`benchmarks/` stands in front of the other's package. So what is compared is the package, and not how it was measured.
The versions take turns, round by round, and the medians of the rounds are compared: on a shared machine the numbers are
those of a busy one, for both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 900.0
MEASURED: dict[str, tuple[list[str], dict[str, str]]] = {
    "first_audio": (
        ["first_audio", "--side", "ours", "--calls", "30", "--at-once", "2"],
        {
            "greeting, median": "results.ours.p50_ms",
            "greeting, p95": "results.ours.p95_ms",
        },
    ),
    "voice_to_voice": (
        ["voice_to_voice", "--calls", "15"],
        {"voice to voice, median": "p50_ms", "voice to voice, p95": "p95_ms"},
    ),
    "barge_in": (
        ["barge_in", "--leg", "stream", "--modes", "held", "immediate", "--on-lines", "15"],
        {
            "barge-in, held, median": "held.lines.WebSocket.ms_median",
            "barge-in, held, mean": "held.lines.WebSocket.ms_mean",
            "barge-in, immediate, median": "immediate.lines.WebSocket.ms_median",
            "barge-in, immediate, mean": "immediate.lines.WebSocket.ms_mean",
        },
    ),
}
"""What is run, and where in its JSON the numbers are, in ms."""


QUICK = {
    "first_audio": ("--calls", "10"),
    "voice_to_voice": ("--calls", "6"),
    "barge_in": ("--on-lines", "5"),
}


def interpreter_of(checkout: Path) -> str:
    """Return the interpreter of a checkout. Raises `FileNotFoundError` if it has none."""
    python = checkout / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        raise FileNotFoundError(f"{python} is not there: run scripts/setup.sh in {checkout}")
    return str(python)


def lay_out(folder: Path, checkout: Path) -> None:
    """Make a folder with our benchmarks and recordings and the package of a checkout."""
    folder.mkdir()
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").symlink_to(ROOT / "tests")
    (folder / "piopiy_pipeline").symlink_to(checkout.resolve() / "piopiy_pipeline")


def run(python: str, folder: Path, what: str, *, quick: bool = False) -> dict[str, float]:
    """Run one benchmark. Returns its numbers by name.

    Args:
        python: The interpreter.
        folder: What `lay_out` has made.
        what: Which one: `MEASURED`.
        quick: Whether it has only as many calls as `QUICK` says.

    Raises:
        RuntimeError: It failed; the message has the end of what it said.
    """
    command, wanted = MEASURED[what]
    done = subprocess.run(
        [python, "-m", f"benchmarks.{command[0]}", *command[1:], *(QUICK[what] if quick else ()), "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{what} of {folder.name} failed:\n{done.stderr[-2000:]}")
    found = json.loads(lines[-1])
    return {name: float(_at(found, path)) for name, path in wanted.items()}


def _at(found: Any, path: str) -> Any:
    for part in path.split("."):
        found = found[part]
    return found


def compare(theirs: Sequence[dict[str, float]], ours: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of the rounds and their ratio, by the name of what was measured."""
    compared: dict[str, Any] = {}
    for name in ours[0]:
        before = statistics.median(one[name] for one in theirs)
        now = statistics.median(one[name] for one in ours)
        compared[name] = {
            "theirs_ms": round(before, 1),
            "ours_ms": round(now, 1),
            "ratio": round(now / before, 3),
            "rounds": [[one[name] for one in theirs], [one[name] for one in ours]],
        }
    return compared


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "checkout", type=Path, help="another checkout, with its .venv (barge_in needs hibari-tts in both)"
    )
    arguments.add_argument("--what", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="a third of the calls, and noisier")
    arguments.add_argument("--at-most", type=float, metavar="RATIO", help="fail if a median is more by this")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = arguments.parse_args()
    if options.rounds < 1:
        arguments.error("--rounds must be positive")
    results: dict[str, Any] = {}
    failed: list[str] = []
    try:
        pythons = {"theirs": interpreter_of(options.checkout), "ours": sys.executable}
        with tempfile.TemporaryDirectory(prefix="beside-") as folder:
            for side, checkout in (("theirs", options.checkout), ("ours", ROOT)):
                lay_out(Path(folder) / side, checkout)
            for what in options.what:
                rounds: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
                try:
                    for number in range(options.rounds):
                        for side, python in pythons.items():
                            found = run(python, Path(folder) / side, what, quick=options.quick)
                            rounds[side].append(found)
                            said = ", ".join(f"{name} {ms:.0f}" for name, ms in found.items())
                            print(f"round {number + 1}, {side}: {said}", file=sys.stderr, flush=True)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(error, file=sys.stderr)
                    failed.append(what)
                else:
                    results |= compare(rounds["theirs"], rounds["ours"])
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'medians of ' + str(options.rounds) + ' rounds, ms':<32}{'theirs':>9}{'ours':>9}{'ratio':>8}")
    for name, both in results.items():
        print(f"{name:<32}{both['theirs_ms']:>9.1f}{both['ours_ms']:>9.1f}{both['ratio']:>8.2f}")
    for what in failed:
        print(f"{what} failed")
    if options.json:
        print(json.dumps({"rounds": options.rounds, "results": results}))
    if options.at_most is not None:
        late = [name for name, both in results.items() if both["ratio"] > options.at_most]
        if late:
            print(f"more than {options.at_most:g} times theirs: {', '.join(late)}", file=sys.stderr)
            return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
