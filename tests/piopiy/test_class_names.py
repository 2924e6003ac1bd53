"""Every public class of Piopiy's SDK 0.6.1 is found under its module, or an error says what to use instead."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data" / "classes_0_6_1.txt"

LOOK = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
found = {"here": 0, "gone": 0, "no SDK": 0, "left": {}}
for line in open(sys.argv[1]):
    module, _, names = line.partition(": ")
    for name in names.split():
        try:
            getattr(importlib.import_module(module), name)
        except ImportError as error:
            found["gone" if "Use " in str(error) and "instead." in str(error) else "no SDK"] += 1
        except AttributeError:
            found["left"].setdefault(module, []).append(name)
        else:
            found["here"] += 1
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    done = subprocess.run(  # a process of its own: hundreds of modules of pipecat are imported
        [sys.executable, "-c", LOOK, DATA], capture_output=True, text=True, timeout=120, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_class_is_found_or_its_successor_is_told(found: dict[str, dict[str, list[str]]]) -> None:
    assert found["left"] == {}


def test_how_many_they_are(found: dict[str, int]) -> None:
    names = sum(len(line.split()) - 1 for line in DATA.read_text().splitlines())
    assert names == 980
    assert found["here"] >= 650
    assert found["gone"] >= 150
