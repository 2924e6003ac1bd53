"""Types of a benchmark's options, which say before anything is measured what cannot be meant."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["count", "interpreter_with", "json_file", "length_s", "new_file", "positive"]

LEAST_S, MOST_S = 0.5, 3600.0
PYTHON_S = 20.0


def count(text: str) -> int:
    """Return a number from 1 on."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not {text!r}")
    return number


def length_s(text: str) -> float:
    """Return the length of a measurement, in seconds: shorter ones hold nothing that could be measured."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not LEAST_S <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"expected {LEAST_S:g} to {MOST_S:g} seconds, not {text!r}")
    return seconds


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return number


def new_file(text: str) -> Path:
    """Return the path of a file that can be written when all is measured."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path


def json_file(text: str) -> Any:
    """Return what is in a file of JSON."""
    try:
        return json.loads(Path(text).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error}") from None


def interpreter_with(module: str) -> Callable[[str], str]:
    """Return a type: the interpreter of an environment that has this module."""
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None and 3)"

    def interpreter(text: str) -> str:
        try:
            status = subprocess.run([text, "-c", look], timeout=PYTHON_S, capture_output=True).returncode
        except (OSError, subprocess.TimeoutExpired):
            status = -1
        if status:
            why = f"has no module {module}" if status == 3 else "is no Python that runs"
            raise argparse.ArgumentTypeError(f"{text} {why}")
        return text

    return interpreter
