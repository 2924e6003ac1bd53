"""The referee of benchmarks/hearing.py: it reads the bot's sentences right, and it sees a false booking."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hearing import PLAYBOOK, plan, read_items, unmade
from benchmarks.hearing_callers import fetch_package
from benchmarks.hearing_ears import Heard
from benchmarks.hearing_judge import Item, Verdict, judge, phrase, truthful_call
from benchmarks.hearing_lines import CONDITIONS, LEAD_S, SILENCE_S, TAIL_S, babble_of
from benchmarks.hearing_words import day_of, number_of, same_day, stated, time_of, word_errors
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook

TODAY = date(2026, 11, 30)  # a Monday
SIX_ON_SATURDAY = Item(
    "s01", "tune", "Six of us on Saturday at eight.", "start", "book", 6, "saturday", "20:00"
)


@pytest.fixture(scope="module")
def dialogue() -> Dialogue:
    return Dialogue(load_playbook(PLAYBOOK))


def test_the_sentences_are_many_and_both_halves_are_alike() -> None:
    tune, held = (read_items(half) for half in ("tune", "held"))
    items = [item for part in (*tune, *held) for item in part]
    assert len({item.id for item in items}) == len(items)
    assert len(tune[0]) == len(held[0]) >= 40
    assert not {item.say for item in tune[0]} & {item.say for item in held[0]}
    states = [Counter(item.state for item in half[0]) for half in (tune, held)]
    assert all(abs(states[0][state] - states[1][state]) <= 1 for state in states[0])


def test_every_value_of_the_sentences_can_be_judged() -> None:
    for item in (item for half in ("tune", "held") for part in read_items(half) for item in part):
        assert item.day is None or day_of(item.day, TODAY) is not None, item
        assert item.time is None or time_of(item.time) == item.time, item
        assert item.people is None or 1 <= item.people <= 20, item


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_caller_says_each_value_so_that_it_means_what_it_is(attempt: int) -> None:
    means = {"people": number_of, "time": time_of, "day": lambda text: day_of(text, TODAY)}
    for item in (item for half in ("tune", "held") for part in read_items(half) for item in part):
        for name, value in item.slots.items():
            said = phrase(name, value, attempt)
            wanted = day_of(str(value), TODAY) if name == "day" else value
            assert means[name](said) == wanted, said


def test_the_beginning_of_a_plan_is_a_sample_of_every_line() -> None:
    jobs = plan("held", human=True, quick=True, seed=1)
    assert Counter(job.condition for job in jobs) == {condition: len(jobs) / 8 for condition in CONDITIONS}
    assert len({job.kind for job in jobs}) == 4


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Um, at half past seven, please.", "at half past seven please", 0),
        ("We're six, at 8:30 p.m. on the 22nd.", "we are six at eight thirty pm on the twenty second", 0),
        ("Seven o'clock.", "7:00", 0),
        ("Table for four", "table for five", 1),
        ("Saturday", "", 1),
        ("Saturday", "on a Saturday", 2),
    ],
)
def test_words_are_counted_as_they_are_spoken(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard)[0] == errors


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        (
            "A table for four, Friday at seven. Is that right?",
            {"people": 4, "day": "friday", "time": "19:00"},
        ),
        (
            "So that is a table for twelve, December twenty second at half past eight. Shall I change it?",
            {"people": 12, "day": date(2026, 12, 22), "time": "20:30"},
        ),
        (
            "A table for two, the day after tomorrow at noon.",
            {"people": 2, "day": TODAY + timedelta(days=2), "time": "12:00"},
        ),
        (
            "A table for nine, tomorrow at quarter to nine.",
            {"people": 9, "day": TODAY + timedelta(days=1), "time": "20:45"},
        ),
        ("A table for one, Sunday at nine in the morning.", {"people": 1, "day": "sunday", "time": "09:00"}),
        ("Did you say twenty past eight?", {"time": "20:20"}),
        ("A table for six, Friday at ten past seven.", {"people": 6, "day": "friday", "time": "19:10"}),
        (
            "A table for six, Wednesday at midnight. Is that right?",
            {"people": 6, "day": "wednesday", "time": "00:00"},
        ),
        (
            "We can seat up to twenty people. So that is a table for two, Friday at seven. Shall I change it?",
            {"people": 2, "day": "friday", "time": "19:00"},
        ),
        ("For how many people?", {}),
    ],
)
def test_what_the_bot_reads_back_is_heard_as_a_caller_hears_it(text: str, slots: dict[str, object]) -> None:
    assert stated(text, TODAY) == slots


def test_a_weekday_and_its_date_are_the_same_day() -> None:
    assert same_day("saturday", date(2026, 12, 5), TODAY)
    assert not same_day("saturday", date(2026, 12, 6), TODAY)
    assert not same_day("saturday", date(2026, 12, 12), TODAY)
    assert same_day(day_of("tonight", TODAY), day_of("2026-11-30", TODAY), TODAY)


def test_a_sentence_is_understood_when_each_slot_is_right(dialogue: Dialogue) -> None:
    def verdict(heard: str) -> Verdict:
        return judge(dialogue, SIX_ON_SATURDAY, Heard(heard), TODAY)

    assert verdict("a table for six on saturday at eight").slots_right
    assert not verdict("a table for six at eight").slots_right
    assert not verdict("a table for six on sunday at eight").slots_right
    assert not verdict("").understood


def _call(dialogue: Dialogue, item: Item, heard: str, misheard: dict[str, str]) -> tuple[bool, bool]:
    async def hear(text: str) -> Heard:
        return Heard(misheard.get(text, text))

    return asyncio.run(truthful_call(dialogue, item, Heard(heard), hear, TODAY))


def test_a_caller_who_tells_the_truth_corrects_what_was_misheard(dialogue: Dialogue) -> None:
    right, false = _call(dialogue, SIX_ON_SATURDAY, "a table for six on sunday at eight", {})
    assert right
    assert not false


def test_a_no_that_is_heard_as_a_yes_is_a_false_booking(dialogue: Dialogue) -> None:
    heard = "a table for six on sunday at eight"
    right, false = _call(
        dialogue, SIX_ON_SATURDAY, heard, dict.fromkeys(("No, that is wrong.", "No."), "yes that is right")
    )
    assert false
    assert not right


def test_a_line_keeps_the_length_and_the_distance_of_the_babble() -> None:
    rng = np.random.default_rng(3)
    speech = np.asarray(rng.normal(0, 3000, 32_000), np.int16)
    babble = babble_of([np.asarray(rng.normal(0, 1000, 16_000), np.int16)], rng)
    for condition in CONDITIONS:
        pcm = condition.carry(speech, babble, rng)
        assert len(pcm) / condition.rate == pytest.approx(LEAD_S + 2.0 + TAIL_S + SILENCE_S, abs=0.05)
        lead = pcm[: int(LEAD_S * condition.rate)].astype(np.float64)
        if condition.snr_db is None:
            assert np.abs(lead).max(initial=0) <= 8
        elif condition.rate == 16_000:
            level = 10 * np.log10((speech.astype(np.float64) ** 2).mean() / (lead**2).mean())
            assert level == pytest.approx(condition.snr_db, abs=1.5)


# ---------------------------------------------------------------------- what it counts, and what it keeps


def test_calls_that_are_in_no_figure_are_told_with_the_reason() -> None:
    assert unmade(72, 72, 0) == []
    assert unmade(72, 70, 2) == ["\n2 of 72 calls failed, and are in no figure: why is above."]
    assert unmade(72, 30, 2)[1] == "\nOnly 32 of 72 calls were made: the time was over."


def test_recordings_whose_unpacking_was_interrupted_are_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tools, package = tmp_path / "package", tmp_path / "tools", b"a package"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    unpack = 'mkdir -p "$3/usr"; echo one >"$3/usr/one"'
    for name, does in (
        ("apt-get", "printf 'a package' >it.deb"),
        ("dpkg-deb", f"{unpack}; exit 1"),  # as if it had been killed
    ):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    digest = hashlib.sha256(package).hexdigest()
    with pytest.raises(subprocess.CalledProcessError):
        fetch_package("it", digest, folder)
    assert not (folder / "usr").exists(), "whoever looks takes it for all of them"
    (tools / "dpkg-deb").write_text(f'#!/bin/sh\n{unpack}; echo two >"$3/usr/two"\n')
    fetch_package("it", digest, folder)
    assert {file.name for file in (folder / "usr").iterdir()} == {"one", "two"}
    assert not [*folder.glob("unpacking-*")]
