"""Workers of pytest-xdist are forked from one process that has collected the tests, if it could.

In processes of their own, because what is tested is how pytest starts and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COUNTED = """
import os
from pathlib import Path

with (Path(__file__).parent / "imported").open("a") as file:
    print(os.getpid(), file=file)

def test_who_forks():
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_text()
    print("forked" if "program_server" in parent else "started")
"""


def _run(folder: Path, *arguments: str) -> str:
    """Run pytest with two workers on the tests of a folder, and return what it says."""
    plugins = "-p xdist.plugin -p tests.support.forked_workers"
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": plugins}
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\naddopts = --import-mode=importlib\n")
    command = [sys.executable, "-m", "pytest", "-n", "2", "-rP", "-c", str(settings), *arguments, str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks are trusted on Linux only")
def test_a_module_is_imported_once_for_all_workers(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(COUNTED)
    (tmp_path / "test_two.py").write_text(COUNTED)
    said = _run(tmp_path)
    assert "2 passed" in said, said
    assert said.count("\nforked\n") == 2, said
    assert len((tmp_path / "imported").read_text().split()) == 2, "two modules, and two workers"


def test_a_module_that_cannot_be_imported_is_told_by_the_workers(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(COUNTED)
    (tmp_path / "test_bad.py").write_text("def test_lost(): pass\n\nraise RuntimeError('of this module')\n")
    said = _run(tmp_path, "--continue-on-collection-errors")
    assert "RuntimeError: of this module" in said, said
    assert "1 passed" in said, said
    assert said.count("\nstarted\n") == 1, said
