"""How well the playbook understands what callers say: intents, slots, and what a decision costs.

The sentences are in `benchmarks/said/`. They were written before the matcher was, and the author of the matcher
looked at the odd ones only. "Held back" are the even ones.

    python benchmarks/understanding.py            # the table in docs/playbook.md
    python benchmarks/understanding.py --wrong    # and the sentences of the first half that were not understood

The libraries for dates that were tried beside it are not dependencies:

    pip install dateparser parsedatetime timefhuman ctparse && python benchmarks/understanding.py --dates
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.matching import Matcher
from piopiy_pipeline.services.playbook.sentence_vectors import sentence_vectors

ROOT = Path(__file__).parent
SAID = ROOT / "said"
SLOTS = ("people", "day", "time")


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a table."""

    text: str
    intent: str | None  # None: that of no example
    slots: dict[str, str] | None  # None: the table has no slots
    asked: str | None
    held: bool


def rows(name: str) -> Iterator[Said]:
    """Read a table of `benchmarks/said/`."""
    lines = (SAID / name).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(line for line in lines if line and not line.startswith("#")):
        cells = line.split("\t")
        held = number % 2 == 1
        if name == "answers.tsv":
            asked, text, *values = cells
            yield Said(text, None, dict(zip(SLOTS, values, strict=True)), asked, held)
        else:
            text, intent, *values = cells
            slots = dict(zip(SLOTS, values, strict=True)) if values else None
            yield Said(text, None if intent == "-" else intent, slots, None, held)


def understood(matcher: Matcher, said: Said) -> tuple[str | None, dict[str, str]]:
    """Return the intent and the slots of a sentence, as strings."""
    slots = [slot for slot in SLOTS if slot in matcher.slots]
    heard = matcher.read(said.text, slots=slots, asked=said.asked)
    values = {slot: str(heard.values[slot].value) if slot in heard.values else "-" for slot in SLOTS}
    return heard.intent, values


def table(show_wrong: bool) -> None:
    """Print shares of intents and slots that are right."""
    both = sentence_vectors()
    desk = load_playbook(ROOT.parent / "examples" / "front_desk.yaml")
    clinic = load_playbook(SAID / "clinic.yaml")
    print("| | sentences | first half | held back |")
    print("|---|---|---|---|")
    for how, vectors in (("by meaning and letters", both), ("by letters alone", None)):
        for name, playbook in (("front_desk.tsv", desk), ("clinic.tsv", clinic)):
            matcher = Matcher(playbook, vectors=vectors)
            halves: dict[bool, list[bool]] = {False: [], True: []}
            for said in rows(name):
                intent, _ = understood(matcher, said)
                halves[said.held].append(intent == said.intent)
                if show_wrong and intent != said.intent and not said.held and vectors:
                    print(f"    {said.text!r}: {intent}, not {said.intent}")
            print(f"| intents of {name}, {how} | {sum(map(len, halves.values()))} | {_shares(halves)} |")
    matcher = Matcher(desk, vectors=both)
    for title, name in (
        ("all slots of a request", "front_desk.tsv"),
        ("all slots of an answer", "answers.tsv"),
    ):
        halves = {False: [], True: []}
        for said in rows(name):
            if said.slots is None or (said.asked is None and said.intent != "book"):
                continue
            _, values = understood(matcher, said)
            halves[said.held].append(values == said.slots)
            if show_wrong and values != said.slots and not said.held:
                print(f"    {said.text!r}: {values}, not {said.slots}")
        print(f"| {title}, {name} | {sum(map(len, halves.values()))} | {_shares(halves)} |")


def _shares(halves: dict[bool, list[bool]]) -> str:
    return " | ".join(f"{100 * sum(half) / len(half):.0f}%" for half in (halves[False], halves[True]))


def cost() -> None:
    """Print what a sentence costs that was never read before, in milliseconds of CPU."""
    matcher = Matcher(load_playbook(ROOT.parent / "examples" / "front_desk.yaml"), vectors=sentence_vectors())
    spent = []
    for said in [*rows("front_desk.tsv"), *rows("answers.tsv")]:
        begin = time.process_time()
        matcher.split(said.text)
        understood(matcher, said)
        spent.append(1000 * (time.process_time() - begin))
    spent.sort()
    median, late = statistics.median(spent), spent[int(0.99 * len(spent))]
    print(f"\nOne sentence: {median:.2f} ms of CPU in the median, {late:.2f} ms at the 99th percentile.")


# ------------------------------------------------------------------ libraries for dates

NOW = datetime(2026, 12, 1, 12, 0)  # a Tuesday
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DATES = {
    "May fifth": (5, 5), "June twenty first": (6, 21), "June twenty second": (6, 22), "June third": (6, 3),
    "December twenty fourth": (12, 24), "Christmas Eve": (12, 24), "New Year's Eve": (12, 31),
    "Valentine's Day": (2, 14), "the twenty first": (12, 21), "Sunday the third": (1, 3),
}  # fmt: skip
_AHEAD = {
    "today": 0,
    "tonight": 0,
    "tomorrow": 1,
    "the day after tomorrow": 2,
    "in two days": 2,
    "in a week": 7,
}


def dates_meant(day: str) -> set[date]:
    """Return the dates that a day of the tables may be, from `NOW` on."""
    if day in _DATES:
        return {date(year, *_DATES[day]) for year in (2026, 2027)}
    if day in _AHEAD:
        return {NOW.date() + timedelta(_AHEAD[day])}
    ahead = timedelta((_WEEK.index(day.split()[-1]) - NOW.weekday()) % 7)
    first = NOW.date() + ahead
    week = timedelta(7)
    if day.startswith("a week"):
        return {first + week}
    return {first, first + week} if day.startswith("next") or not ahead else {first}


def libraries() -> Iterator[tuple[str, Callable[[str], list[Any]]]]:
    """Yield each library that is installed, as a function from a text to dates and times."""
    for name, make in (
        ("dateparser.search", _dateparser),
        ("parsedatetime", _parsedatetime),
        ("timefhuman", _timefhuman),
        ("ctparse", _ctparse),
    ):
        if importlib.util.find_spec(name.split(".")[0]):
            yield name.split(".")[0], make(importlib.import_module(name))


def _dateparser(library: Any) -> Callable[[str], list[Any]]:
    wanted = {"RELATIVE_BASE": NOW, "PREFER_DATES_FROM": "future"}
    return lambda text: [at for _, at in library.search_dates(text, languages=["en"], settings=wanted) or []]


def _parsedatetime(library: Any) -> Callable[[str], list[Any]]:
    calendar = library.Calendar()
    return lambda text: [at[0] for at in calendar.nlp(text, sourceTime=NOW) or []]


def _timefhuman(library: Any) -> Callable[[str], list[Any]]:
    settings = library.tfhConfig(now=NOW)

    def find(text: str) -> list[Any]:
        found = _listed(library.timefhuman(text, config=settings))
        return [at[0] if isinstance(at, (list, tuple)) and at else at for at in found]

    return find


def _ctparse(library: Any) -> Callable[[str], list[Any]]:
    def find(text: str) -> list[Any]:
        found = library.ctparse(text, ts=NOW, timeout=1.0, latent_time=False)
        return [getattr(found.resolution, "t_from", found.resolution)] if found else []

    return find


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def dates() -> None:
    """Print what libraries for dates find in the same sentences, against the playbook's own reading."""
    said = [row for name in ("front_desk.tsv", "answers.tsv") for row in rows(name) if row.slots]
    matcher = Matcher(load_playbook(ROOT.parent / "examples" / "front_desk.yaml"), vectors=sentence_vectors())
    print("| | days | times of day | something found where nothing is | CPU, median |")
    print("|---|---|---|---|---|")
    for name, find in libraries():
        find("tomorrow at eight")  # loads what it loads
        right_days, right_times, wrong, spent = 0, 0, 0, []
        for row in said:
            assert row.slots is not None
            begin = time.process_time()
            found = find(row.text)
            spent.append(1000 * (time.process_time() - begin))
            days, times = _split(found)
            right_days += row.slots["day"] != "-" and bool(dates_meant(row.slots["day"]) & days)
            right_times += row.slots["time"] != "-" and bool(_either_half(row.slots["time"]) & times)
            wrong += row.slots["day"] == row.slots["time"] == "-" and bool(found)
        _print_dates(said, name, right_days, right_times, wrong, statistics.median(spent))
    right_days = right_times = wrong = 0
    spent = []
    for row in said:
        assert row.slots is not None
        begin = time.process_time()
        _, values = understood(matcher, row)
        spent.append(1000 * (time.process_time() - begin))
        right_days += row.slots["day"] not in ("-",) and values["day"] == row.slots["day"]
        right_times += row.slots["time"] != "-" and values["time"] == row.slots["time"]
        nothing = row.slots["day"] == row.slots["time"] == "-"
        wrong += nothing and (values["day"], values["time"]) != ("-", "-")
    _print_dates(said, "the playbook", right_days, right_times, wrong, statistics.median(spent))


def _print_dates(said: list[Said], name: str, days: int, times: int, wrong: int, spent: float) -> None:
    with_day = sum(row.slots is not None and row.slots["day"] != "-" for row in said)
    with_time = sum(row.slots is not None and row.slots["time"] != "-" for row in said)
    neither = sum(row.slots is not None and row.slots["day"] == row.slots["time"] == "-" for row in said)
    print(
        f"| {name} | {days} of {with_day} | {times} of {with_time} | {wrong} of {neither} | {spent:.1f} ms |"
    )


def _either_half(value: str) -> set[tuple[int, int]]:
    hour, minute = int(value[:2]), int(value[3:])
    return {(hour, minute), (hour % 12, minute)}  # morning or evening is the slot's to say


def _split(found: list[Any]) -> tuple[set[date], set[tuple[int, int]]]:
    days: set[date] = set()
    times: set[tuple[int, int]] = set()
    for at in found:
        if isinstance(at, date):
            days.add(at.date() if isinstance(at, datetime) else at)
        elif getattr(at, "year", None) and at.month and at.day:  # ctparse's own
            days.add(date(at.year, at.month, at.day))
        if getattr(at, "hour", None) is not None:
            times.add((at.hour, at.minute or 0))
    return days, times


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--wrong", action="store_true", help="print what was not understood, of the first half"
    )
    parser.add_argument("--dates", action="store_true", help="compare with libraries for dates")
    options = parser.parse_args()
    if options.dates:
        dates()
    else:
        table(options.wrong)
        cost()
