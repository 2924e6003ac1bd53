"""Files that hold what people say, and keys, can be read by their user only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from piopiy_pipeline.private_files import make_private_folder, restrict, warn_if_others_can_read


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(handler)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_all_folders_that_are_made_are_private(tmp_path: Path, umask: int) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(umask)
    try:
        make_private_folder(tmp_path / "a" / "b" / "c")
        make_private_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    assert mode(tmp_path) == 0o755


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_private_folder(tmp_path / "file" / "b")
    with pytest.raises(FileExistsError):
        make_private_folder(tmp_path / "file")


def test_the_error_is_that_of_the_folder_which_cannot_be_made_and_not_that_the_next_is_missing() -> None:
    with pytest.raises(OSError, match="/sys/nowhere'") as caught:
        make_private_folder(Path("/sys/nowhere/deeper/still"))
    assert caught.value.errno != errno.ENOENT
    with pytest.raises(FileNotFoundError, match="/proc/nowhere'"):
        make_private_folder(Path("/proc/nowhere/deeper"))


def test_access_of_others_is_taken_away_and_told(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "calls"
    path.touch(0o640)
    restrict(path)
    restrict(path)
    restrict(tmp_path / "none")
    assert mode(path) == 0o600
    assert len(said) == 1


def test_what_belongs_to_another_is_told(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)  # the test may run as root, whom nothing is refused
    path = tmp_path / "calls"
    path.touch(0o644)
    restrict(path)
    (line,) = said
    assert "its mode cannot be changed (Operation not permitted)" in line
    assert "chmod it to 0600" in line


@pytest.mark.parametrize(("bits", "lines"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_file_of_keys_that_everybody_can_read_is_told(
    tmp_path: Path, said: list[str], bits: int, lines: int
) -> None:
    path = tmp_path / "gateway.toml"
    path.touch()
    path.chmod(bits)
    warn_if_others_can_read(path, "keys")
    warn_if_others_can_read(tmp_path / "none", "keys")
    assert len(said) == lines
