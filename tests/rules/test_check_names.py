"""`scripts/check_names.py` finds each kind of fault where it is planted, and none in the tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_names import check, read_glossary, split_words

ROOT = Path(__file__).parents[2]

GLOSSARY = """
## Retired words

| Retired | Checked in | Today | Allowed |
|---|---|---|---|
| `Line` | classes | browser call | |
| `seat`, `last_words` | names | peer session, speech drain | `keep_seat` |
| `doorman` | text | admission control | |
| `told` | exact | on_... | |
| `Tape` | classes | recording | `session/tape.py` |
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "piopiy_pipeline" / "session").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "glossary.md").write_text(GLOSSARY)
    return tmp_path


def _problems(tree: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (tree / "piopiy_pipeline" / name).write_text(text)
    return [f"{path.name}:{line}: {problem}" for path, line, problem in check(tree)]


def test_the_tree_has_no_fault() -> None:
    assert [f"{path}:{line}: {problem}" for path, line, problem in check(ROOT)] == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {"a.py": "class Call: ...\n", "b.py": "class Call: ...\n"},
            "b.py:1: class 'Call' exists already, in a.py",
        ),
        (
            {"a.py": "class A:\n    class _B: ...\n", "b.py": "class _B: ...\n"},
            "b.py:1: class '_B' exists already",
        ),
        ({"line.py": "", "session/line.py": ""}, "line.py:1: piopiy_pipeline/line.py has the same file name"),
        ({"a.py": "\n\nclass Line: ...\n"}, "a.py:3: class 'Line': the word is now browser call"),
        ({"a.py": "def take_seat(): ...\n"}, "a.py:1: function 'take_seat': the word is now peer session"),
        ({"a.py": "def f(free_seat): ...\n"}, "a.py:1: parameter 'free_seat'"),
        ({"a.py": "class PeerSeat: ...\n"}, "a.py:1: class 'PeerSeat'"),
        ({"a.py": "x.last_words = 1\n"}, "a.py:1: attribute 'last_words'"),
        ({"seat.py": ""}, "seat.py:1: file 'seat'"),
        ({"a.py": '"""It asks\nthe doorman."""\n'}, "a.py:2: 'doorman' in a comment or text"),
        ({"a.py": "def f(told): ...\n"}, "a.py:1: parameter 'told'"),
        ({"a.py": "class Tape: ...\n"}, "a.py:1: class 'Tape'"),
        ({"a.py": "x = 1  # Doorman\n"}, "a.py:1: 'doorman' in a comment or text"),
        ({"a.py": "x = 1\n" * 451}, "a.py:450: 451 lines"),
        ({"a.py": "def f(call):\n    return call._now()\n"}, "a.py:2: call._now: another class's private"),
        ({"a.py": "def f(self):\n    self._call._end = 1\n"}, "a.py:2: call._end"),
    ],
)
def test_a_planted_fault_is_found(tree: Path, files: dict[str, str], found: str) -> None:
    problems = _problems(tree, files)
    assert len(problems) == 1
    assert problems[0].startswith(found)


def test_names_that_only_look_alike_pass(tree: Path) -> None:
    source = (
        "class Timeline: ...\nclass Utterance:\n    line = 1\n"
        "def keep_seat(seated, lastwords): ...\n"
        "def f(call):\n    return call.now(), call.__class__, calls._x\n"
    )
    files = {
        "a.py": source,
        "config.py": "",
        "session/config.py": "",
        "session/tape.py": "class Tape: told_at = 1\n",
    }
    assert _problems(tree, files) == []


def test_the_script_says_where_and_fails(tree: Path) -> None:
    (tree / "piopiy_pipeline" / "a.py").write_text("class Line: ...\n")
    command = [sys.executable, str(ROOT / "scripts" / "check_names.py"), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1
    assert result.stdout == "piopiy_pipeline/a.py:1: class 'Line': the word is now browser call\n"


def test_words_of_a_name() -> None:
    assert split_words("RTPLastWords") == ("rtp", "last", "words")
    assert split_words("_take_seat2") == ("take", "seat", "2")


@pytest.mark.parametrize("text", ["", "## Retired words\n", GLOSSARY + "| `x` | somewhere | y | |\n"])
def test_a_glossary_without_its_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="glossary"):
        read_glossary(text)


def test_the_glossary_is_sorted_and_complete() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    terms, _, retired = text.partition("## Retired words")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in terms.splitlines()
        if line[:1] == "|"
    ][2:]
    names = [row[0] for row in rows]
    assert names == sorted(names, key=str.casefold)
    assert len(names) == len(set(names))
    assert all(len(row) == 3 and all(row) for row in rows)
    assert "|---|" in retired
