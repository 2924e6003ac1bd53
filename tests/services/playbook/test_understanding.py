"""What callers say in their own words is understood: the sentences of benchmarks/said, and any text at all."""

import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.services.playbook import sentence_vectors as vectors_module
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.matching import Matcher
from piopiy_pipeline.services.playbook.sentence_vectors import sentence_vectors
from piopiy_pipeline.services.playbook.words import read_words

ROOT = Path(__file__).parents[3]
SAID = ROOT / "benchmarks" / "said"
SLOTS = ("people", "day", "time")
DESK = load_playbook(ROOT / "examples" / "front_desk.yaml")
MATCHER = Matcher(DESK, vectors=sentence_vectors())


def _rows(name: str) -> list[list[str]]:
    lines = (SAID / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def _slots(text: str, asked: str | None = None) -> list[str]:
    values = MATCHER.read(text, slots=SLOTS, asked=asked).values
    return [str(values[slot].value) if slot in values else "-" for slot in SLOTS]


REQUESTS = _rows("front_desk.tsv")
ANSWERS = _rows("answers.tsv")


def test_the_tables_have_enough_sentences() -> None:
    assert len(REQUESTS) + len(ANSWERS) >= 150


@pytest.mark.parametrize("row", [row for row in REQUESTS[::2] if row[1] == "book"], ids=lambda row: row[0])
def test_a_request_in_any_words_gives_its_slots(row: list[str]) -> None:
    assert _slots(row[0]) == row[2:]


@pytest.mark.parametrize("row", ANSWERS[::2], ids=lambda row: f"{row[0]}: {row[1]}")
def test_an_answer_gives_its_slots(row: list[str]) -> None:
    assert _slots(row[1], asked=row[0]) == row[2:]


def test_sentences_that_were_held_back_are_understood_nearly_as_well() -> None:
    requests = [row for row in REQUESTS[1::2] if row[1] == "book"]
    assert sum(_slots(row[0]) == row[2:] for row in requests) >= 0.93 * len(requests)
    answers = ANSWERS[1::2]
    assert sum(_slots(row[1], asked=row[0]) == row[2:] for row in answers) >= 0.95 * len(answers)


@pytest.mark.parametrize(
    ("playbook", "table", "by_meaning", "by_letters"),
    [
        (ROOT / "examples" / "front_desk.yaml", "front_desk.tsv", 0.9, 0.83),
        (SAID / "clinic.yaml", "clinic.tsv", 0.84, 0.6),
    ],
    ids=["front_desk", "clinic"],
)
def test_intents_are_known_by_a_few_examples(
    playbook: Path, table: str, by_meaning: float, by_letters: float
) -> None:
    assert sentence_vectors() is not None, "wordllama is of the extra offline"
    for vectors, share in ((sentence_vectors(), by_meaning), (None, by_letters)):
        matcher = Matcher(load_playbook(playbook), vectors=vectors)
        rows = _rows(table)
        right = sum((matcher.read(row[0], slots=[]).intent or "-") == row[1] for row in rows)
        assert right >= share * len(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A table for 4 on Friday at 7:30, please.", "a table for 4 on friday at 7:30 please"),
        ("Twenty-five of us, at 7.30 p.m.!", "25 of us at 7:30 pm"),
        ("The fifth of May, seven o clock", "the 5th of may 7 o'clock"),
        ("On Wensday, or Satuday; or fry day", "on wednesday or saturday or friday"),
        ("to people at ate", "2 people at 8"),
        ("I’m here", "i'm here"),
        ("A birthday, a holiday and midday", "a birthday a holiday and midday"),
        ("", ""),
    ],
)
def test_a_sentence_is_written_as_plain_words(text: str, words: str) -> None:
    assert read_words(text).text == words


@pytest.mark.parametrize("text", ["for", "You.", "Um, the.", "I", "to"])
def test_what_a_recogniser_makes_of_noise_means_nothing(text: str) -> None:
    assert MATCHER.read(text, slots=SLOTS).intent is None


PIECES = (
    "a table for four on friday at seven thirty half past quarter to people of us my wife and me not no yes actually "
    "tomorrow the fifth may in two weeks 7:30 19.00 5th - ' : , . ? goodbye open what couple dozen ate twenty"
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES.split()), max_size=200).map(" ".join))
)
def test_no_text_breaks_it_or_takes_long(text: str) -> None:
    begin = time.thread_time()
    Dialogue(DESK).next([{"role": "user", "content": text}, {"role": "user", "content": f"yes {text}"}])
    assert time.thread_time() - begin < 0.5  # two decisions and a new matcher; 0.3 ms each as a rule


@pytest.mark.parametrize(
    "text", ["1 " * 5_000, "my wife and " * 1_000, "twenty " * 2_000, "x" * 100_000, "ﷺ" * 9_000]
)
def test_a_monstrous_turn_is_cut(text: str) -> None:
    dialogue = Dialogue(DESK)
    begin = time.thread_time()
    dialogue.next([{"role": "user", "content": text}])
    assert time.thread_time() - begin < 0.25


def test_a_table_that_is_not_the_one_that_was_measured_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "wordllama"
    for name, _ in (vectors_module._TABLE, vectors_module._TOKENS):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(b"something else")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", _finds(package))
    assert vectors_module.sentence_vectors.__wrapped__() is None


def _finds(package: Path) -> Callable[[str], ModuleSpec]:
    spec = ModuleSpec("wordllama", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    return lambda _name: spec
