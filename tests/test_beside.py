"""`benchmarks/beside.py`: whose numbers it compares, and in front of which package it puts our benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.beside import compare, interpreter_of, lay_out


def test_the_medians_of_the_rounds_are_compared() -> None:
    theirs = [{"answer": 100.0}, {"answer": 300.0}, {"answer": 110.0}]
    ours = [{"answer": 99.0}, {"answer": 88.0}, {"answer": 500.0}]
    found = compare(theirs, ours)["answer"]
    assert (found["theirs_ms"], found["ours_ms"], found["ratio"]) == (110.0, 99.0, 0.9)


def test_a_checkout_without_an_environment_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run scripts/setup\.sh in"):
        interpreter_of(tmp_path)


def test_our_benchmarks_stand_in_front_of_the_others_package(tmp_path: Path) -> None:
    older = tmp_path / "older"
    (older / "piopiy_pipeline").mkdir(parents=True)
    (older / "piopiy_pipeline" / "__init__.py").write_text("OLDER = True")
    lay_out(tmp_path / "theirs", older)
    assert (tmp_path / "theirs" / "piopiy_pipeline" / "__init__.py").read_text() == "OLDER = True"
    assert (tmp_path / "theirs" / "benchmarks" / "voice_to_voice.py").is_file()
    assert not (tmp_path / "theirs" / "benchmarks" / "beside.py").is_symlink()
