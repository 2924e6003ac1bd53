"""Old recordings go, young ones stay, and so does what is none of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from piopiy_pipeline.gateway.records.folders import delete_recordings


def _file(folder: Path, name: str, modified: float) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (modified, modified))
    return path


def test_recordings_that_are_too_old_are_deleted_and_empty_days_with_them(tmp_path: Path) -> None:
    old = _file(tmp_path, "2027-01-01/a.wav", 1000)
    also_old = _file(tmp_path, "2027-01-02/b.wav", 1500)
    young = _file(tmp_path, "2027-01-02/c.wav", 3000)
    notes = _file(tmp_path, "2027-01-02/notes.txt", 1000)
    assert delete_recordings(tmp_path, 2000) == 2
    assert not old.parent.exists()
    assert not also_old.exists()
    assert young.exists()
    assert notes.exists()


def test_without_recordings_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert delete_recordings(tmp_path / "none", 2000) == 0


def test_a_day_in_which_a_recording_begins_while_it_is_deleted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [_file(tmp_path, f"2027-01-0{day}/a.wav", 1000) for day in (1, 2)]
    rmdir = Path.rmdir

    def begin_another(day: Path) -> None:
        if day == old[0].parent:
            _file(tmp_path, "2027-01-01/b.wav", 3000)
        rmdir(day)

    monkeypatch.setattr(Path, "rmdir", begin_another)
    assert delete_recordings(tmp_path, 2000) == 2
    assert old[0].parent.exists()
    assert not old[1].parent.exists()
