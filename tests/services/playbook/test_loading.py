"""A mistake in a playbook is named with its file, its line and what was expected."""

from pathlib import Path

import pytest

from piopiy_pipeline.services.playbook.loading import load_playbook, parse_playbook
from piopiy_pipeline.services.playbook.model import PlaybookError

GOOD = """\
slots:
  people: {type: number, ask: "How many?"}
intents:
  book:
    examples:
      - a table for {people}
    slots: [people]
    tool: book_table
    reply: Done.
  yes:
    examples: [yes, no, 19:00]
    reply: Right.
"""


def test_a_good_one_is_read_and_yes_is_text() -> None:
    playbook = parse_playbook(GOOD)
    assert playbook.intents["yes"].examples == ["yes", "no", "19:00"]
    assert playbook.slots["people"].ask == ["How many?"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reply: Done.", "replay: Done.", "book.yaml:9: intents.book.replay: not a name that is known here"),
        ("type: number", "type: numbr", "book.yaml:2: slots.people.type: expected 'number', 'day'"),
        ("type: number, ", "", "book.yaml:2: slots.people.type: expected, and not here"),
        (
            "{people}",
            "{day}",
            "book.yaml:6: intents.book.examples.1: expected a slot in braces (people), not {day}",
        ),
        ("[people]", "[day]", "book.yaml:7: intents.book.slots.1: expected a slot (people), not 'day'"),
        (
            "reply: Right.",
            "reply: For {people}.",
            "book.yaml:12: intents.yes.reply.1: expected a slot of this intent",
        ),
        ("reply: Right.", "confirm: Right?", "book.yaml:10: intents.yes: expected a reply or a tool"),
        ("ask: ", "min: many, ask: ", "book.yaml:2: slots.people.min: expected a whole number, not 'many'"),
        (
            "examples: [yes, no, 19:00]",
            "examples: []",
            "book.yaml:11: intents.yes.examples: expected at least one",
        ),
        ("  yes:", "  book:", "book.yaml:10: intents.book: expected each name once"),
        ("examples: [yes", "examples: [[yes", "book.yaml:12: expected YAML"),
        ("intents:", "done: bye\nintents:", "book.yaml:3: done: expected an intent (book, yes), not 'bye'"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = tmp_path / "book.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(PlaybookError) as raised:
        load_playbook(path)
    assert message in str(raised.value)


def test_a_file_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlaybookError) as raised:
        load_playbook("nobody.yaml")
    assert str(raised.value).startswith(f"{Path.cwd()}/nobody.yaml: cannot be read: No such file")


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_what_is_no_mapping_says_what_was_expected(text: str) -> None:
    with pytest.raises(PlaybookError, match="playbook:1: expected a mapping with 'intents'"):
        parse_playbook(text)


BILLIONS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, here in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLIONS, "more than 20000 values: no playbook has so many"),
        ("intents: &a [*a]", "an alias stands for something that contains it"),
        ("intents: " + "[" * 50_000, "nested too deeply for a playbook"),
        ("intents: {" + "a" * (300 << 10), "larger than 256 kB: no playbook is"),
        ("intents: {}\n# " + "订" * (100 << 10), "larger than 256 kB: no playbook is"),
        ("intents: " + "9" * 5000, "intents: expected a mapping"),
    ],
    ids=["billions", "itself", "deep", "large", "chinese", "digits"],
)
def test_a_small_file_cannot_take_the_machine(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(PlaybookError) as raised:
        load_playbook(file)
    assert str(raised.value).startswith(f"{file}:1") or text == BILLIONS
    assert message in str(raised.value)


def test_the_key_of_before_is_named_with_the_one_of_today() -> None:
    with pytest.raises(PlaybookError, match=r"playbook:5: intents\.book\.phrases: expected 'examples'"):
        parse_playbook(GOOD.replace("    examples:", "    phrases:", 1))


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ('check: "{what}?"', "replies.check.1: expected {value}, not {what}"),
        ('choose: "{value} or {b}?"', "replies.choose.1: expected {value}, {other}, not {b}"),
    ],
)
def test_a_read_back_with_a_strange_name_is_a_mistake(replies: str, message: str) -> None:
    with pytest.raises(PlaybookError) as raised:
        parse_playbook(f"{GOOD}replies: {{{replies}}}\n")
    assert message in str(raised.value)


def test_hot_words_are_the_names_that_nobody_can_guess() -> None:
    playbook = parse_playbook(
        'hot_words: [Gnocchi]\nslots: {dish: {type: one_of, values: {pizza: [margherita]}, ask: "Which?"}}\n'
        "intents: {order: {examples: [is this the Olive and Thyme on Friday], reply: Yes.}}\n"
    )
    assert playbook.names() == ("Gnocchi", "pizza", "margherita", "Olive and Thyme")


def test_the_playbook_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "playbook.md").read_text(encoding="utf-8")
    playbook = parse_playbook(page.split("```yaml\n")[1].split("```")[0])
    assert "Olive and Thyme" in playbook.names()
