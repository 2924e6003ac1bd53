"""When does the bot answer, and whom does it cut off?

    python -m benchmarks.turn_end                     # clean telephone lines, the half that is reported
    python -m benchmarks.turn_end --lines all --json turn_end.json --plot docs/images/turn_end.svg
    python -m benchmarks.turn_end --half tune         # to change something by
    python -m benchmarks.turn_end --recordings ./recordings     # your own calls: stereo, the caller on the left

Turns with pauses inside (`turn_end_corpus.py`) are played against policies in virtual time: the wait from the
caller's last sound to the decision, the share of turns that were cut into, and of pauses. A timer counts from the
VAD's stop. `smart-turn` is pipecat's default. Humans are those of the Debian packages that `benchmarks/hearing.py`
uses, fetched and checked as it says; it needs flite for the synthetic voices. What was heard is kept in `--cache`, so a
second run takes seconds. Transcripts take 0.25 s of CPU a pause, once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.benchmark_options import new_file
from benchmarks.hearing_callers import RATE, Speakers
from benchmarks.hearing_lines import LEAD_S, Condition, babble_of
from benchmarks.turn_end_corpus import Turn, all_turns
from benchmarks.turn_end_players import POLICIES, Outcome
from benchmarks.turn_end_signals import Pcm, Signals, Studio, text_of

LINES = (Condition(8_000), Condition(RATE), Condition(8_000, 15.0), Condition(RATE, 15.0))
TAIL_S = 4.2
KINDS = ("put in", "natural")
HALVES = {
    "held": ("held",),
    "tune": ("tune",),
    "both": ("held", "tune"),
    "fresh": ("fresh",),
    "all": ("held", "tune", "fresh"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one policy on one line."""

    line: str
    pauses: str
    policy: str
    turns: int
    median_ms: int | None
    p90_ms: int | None
    closed_ms: int | None
    """The median of closed questions: yes or no, six digits, four digits, how many."""
    turns_cut: float
    closed_cut: float
    pauses_cut: float
    undecided: int


def play(
    turns: Sequence[Turn], line: Condition, studio: Studio, babble: Pcm
) -> list[tuple[Turn, Signals, float, float]]:
    """Listen to turns over a line. Returns each with what is known of it, and when its speech begins and ends."""
    played = []
    for i, turn in enumerate(turns):
        speech = np.concatenate([turn.speech, np.zeros(int(TAIL_S * RATE), np.int16)])
        rng = np.random.default_rng(i)
        quieter = line if line.snr_db is None else Condition(line.rate, line.snr_db + _level_db(turn, speech))
        pcm = quieter.carry(speech, babble, rng)
        begins = LEAD_S
        played.append((turn, studio.listen(pcm, line.rate), begins, begins + len(turn.speech) / RATE))
        print(f"\r{line.name}: {i + 1} of {len(turns)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return played


def _level_db(turn: Turn, padded: Pcm) -> float:
    """Return what the silence behind the speech takes off its mean power, in dB (negative)."""
    loud = (turn.speech.astype(np.float64) ** 2).mean()
    return float(10 * np.log10((padded.astype(np.float64) ** 2).mean() / loud))


def rows_of(line: str, played: Sequence[tuple[Turn, Signals, float, float]]) -> list[Row]:
    """Return the figures of all policies."""
    rows = []
    for pauses in KINDS:
        chosen = [one for one in played if (one[0].kind == "natural") == (pauses == "natural")]
        if not chosen:
            continue
        for name, player in POLICIES.items():
            outcomes = [(turn, player(turn, signals, begins, ends)) for turn, signals, begins, ends in chosen]
            rows.append(_row(line, pauses, name, outcomes))
    return rows


def _row(line: str, pauses: str, name: str, outcomes: Sequence[tuple[Turn, Outcome]]) -> Row:
    waits = [outcome.wait_s for _, outcome in outcomes if outcome.wait_s is not None]
    closed = [(turn, outcome) for turn, outcome in outcomes if turn.closed]
    closed_waits = [outcome.wait_s for _, outcome in closed if outcome.wait_s is not None]
    all_pauses = sum(len(turn.pauses) for turn, _ in outcomes)
    return Row(
        line,
        pauses,
        name,
        len(outcomes),
        _ms(waits, 50),
        _ms(waits, 90),
        _ms(closed_waits, 50),
        round(100 * float(np.mean([outcome.cuts > 0 for _, outcome in outcomes])), 1),
        round(100 * float(np.mean([outcome.cuts > 0 for _, outcome in closed])), 1) if closed else 0.0,
        round(100 * sum(outcome.cuts for _, outcome in outcomes) / max(1, all_pauses), 1),
        len(outcomes) - len(waits),
    )


def _ms(waits: Sequence[float], percentile: float) -> int | None:
    return round(1000 * float(np.percentile(waits, percentile))) if waits else None


def table_of(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = [
        "| line | pauses | policy | turns | median | p90 | closed | turns cut | closed cut | pauses cut | undecided |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        closed = "-" if row.closed_ms is None else f"{row.closed_ms} ms"
        lines.append(
            f"| {row.line} | {row.pauses} | {row.policy} | {row.turns} | {row.median_ms} ms | {row.p90_ms} ms "
            f"| {closed} | {row.turns_cut}% | {row.closed_cut}% | {row.pauses_cut}% | {row.undecided} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("held", "tune", "both", "fresh", "all"), default="held")
    parser.add_argument("--lines", choices=("phone", "all"), default="phone")
    parser.add_argument("--quick", type=int, default=1, metavar="N", help="only every Nth turn")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "piopiy" / "hearing")
    parser.add_argument(
        "--recordings", type=Path, help="a folder of stereo WAV files, the caller on the left"
    )
    parser.add_argument("--json", type=new_file, help="where to write all figures")
    parser.add_argument("--plot", type=new_file, help="where to draw them: an SVG")
    parser.add_argument(
        "--failures", type=new_file, help="where to list what `smart` has cut or decided late"
    )
    parser.add_argument("--no-smart-turn", action="store_true")
    parser.add_argument(
        "--no-level", action="store_true", help="take voices behind the caller for the caller's"
    )
    options = parser.parse_args(arguments)
    if options.no_smart_turn:
        del POLICIES["smart-turn"], POLICIES["smart, model"]
    began = time.monotonic()
    studio = Studio(options.cache, smart=not options.no_smart_turn, level=not options.no_level)
    if options.recordings is not None:
        from benchmarks.turn_end_recordings import turns_of

        turns = list(turns_of(options.recordings, studio))
    else:
        speakers = Speakers(options.cache)
        try:
            turns = list(all_turns(options.cache, speakers, halves=HALVES[options.half]))
        finally:
            speakers.close()
        turns = turns[:: options.quick]
    if not turns:
        sys.exit("there are no turns")
    fluent = [turn.speech for turn in turns if not turn.pauses] or [turn.speech for turn in turns]
    babble = babble_of(fluent[:24], np.random.default_rng(1))  # nobody in it pauses
    rows: list[Row] = []
    failures: list[str] = []
    try:
        for line in LINES if options.lines == "all" else LINES[:1]:
            played = play(turns, line, studio, babble)
            rows += rows_of(line.name, played)
            failures += _failures(line.name, played)
            studio.close()
    finally:
        studio.close()
    print(table_of(rows))
    counts = {kind: sum(turn.kind == kind for turn in turns) for kind in ("human", "synthetic", "natural")}
    pauses = sum(len(turn.pauses) for turn in turns)
    print(f"{len(turns)} turns ({counts}), {pauses} pauses, {time.monotonic() - began:.0f} s")
    report = {"turns": counts, "pauses": pauses, "half": options.half, "rows": [asdict(row) for row in rows]}
    report["policy_cpu_ms_a_call_second"] = round(policy_cpu_ms(played), 3)
    print(f"CPU of `smart` itself: {report['policy_cpu_ms_a_call_second']} ms a second of call")
    if not options.no_smart_turn:
        asked = sum(moment.what == "smart" for _, signals, _, _ in played for moment in signals.moments)
        seconds = sum(ends + TAIL_S for _, _, _, ends in played)
        report["smart_turn_cpu_ms_a_call_second"] = round(studio.opinion_cpu_ms() * asked / seconds, 1)
        print(f"CPU of smart-turn: {report['smart_turn_cpu_ms_a_call_second']} ms a second of call")
    _write(options, report, rows, failures)


def policy_cpu_ms(played: Sequence[tuple[Turn, Signals, float, float]]) -> float:
    """Return the CPU time that the policy takes, without VAD and words, in ms for each second of a line."""
    seconds = sum(ends + TAIL_S for _, _, _, ends in played)
    began = time.process_time()
    for one in played:
        POLICIES["smart"](*one)
    return 1000 * (time.process_time() - began) / seconds


def _failures(line: str, played: Sequence[tuple[Turn, Signals, float, float]]) -> list[str]:
    said = []
    for turn, signals, begins, ends in played:
        outcome = POLICIES["smart"](turn, signals, begins, ends)
        late = outcome.wait_s is None or outcome.wait_s > 0.7
        if outcome.cuts or late or (turn.closed and (outcome.wait_s or 9) > 0.3):
            words = [text_of(moment.value) for moment in signals.moments if moment.what == "words"]
            said.append(
                f"{line} {turn.name} cuts={outcome.cut_at} wait={outcome.wait_s} {outcome.reason} {words}"
            )
    return said


def _write(
    options: argparse.Namespace, report: Mapping[str, object], rows: Sequence[Row], failures: Sequence[str]
) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot is not None:
        from benchmarks.turn_end_plot import plot_of

        options.plot.write_text(plot_of([asdict(row) for row in rows]))
    if options.failures is not None:
        options.failures.write_text("\n".join(failures) + "\n")


if __name__ == "__main__":
    main()
