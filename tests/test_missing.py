"""A benchmark whose package, program or browser is missing says so in one sentence, with the command that mends it."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.missing import sentence

ROOT = Path(__file__).parent.parent


def raised(name: str) -> ModuleNotFoundError:
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(name)
    return caught.value


def test_a_package_is_named_with_its_command() -> None:
    error = raised("no_such_module_anywhere")
    said = "the Python package no_such_module_anywhere is not installed: sh scripts/setup.sh"
    assert sentence(error) == said
    assert sentence(pickle.loads(pickle.dumps(error))) == said, "as it comes out of a process of a pool"
    assert sentence(ExceptionGroup("in a task", [ValueError(), error])) == said
    missing = ModuleNotFoundError("No module named 'hibari'", name="hibari")
    assert sentence(missing) == (
        "the Python package hibari-tts==0.2.1 is not installed: "
        ".venv/bin/uv pip install --python .venv/bin/python hibari-tts==0.2.1"
    )


def test_a_mistake_of_our_own_is_no_missing_package() -> None:
    assert sentence(raised("benchmarks.no_such_benchmark")) is None
    assert sentence(FileNotFoundError(2, "No such file or directory", "a-recording.wav")) is None
    assert sentence(RuntimeError("the agent did not start")) is None


def test_a_browser_that_a_test_would_be_skipped_without_is_named() -> None:
    with pytest.raises(BaseException, match="no Chromium is installed") as caught:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    assert sentence(caught.value) == "no Chromium is installed (Debian: apt-get install chromium)"


def test_a_benchmark_without_its_program_ends_with_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sip_load", "--calls", "1"],
        cwd=ROOT,
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        "the program sipp is not installed: apt-get install sip-tester"
    )
