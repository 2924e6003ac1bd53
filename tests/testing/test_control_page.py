"""The documentation's page about control of a call: its code is a test file, and passes as it stands."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "control.md"
CODE = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S))
NAMES = re.findall(r"^def (test_\w+)", CODE, re.M)


@pytest.fixture(scope="module")
def page() -> types.ModuleType:
    module = types.ModuleType("control_page")
    sys.modules[module.__name__] = module
    exec(compile(CODE, str(PAGE), "exec"), module.__dict__)
    return module


def test_the_page_has_tests() -> None:
    assert len(NAMES) == 2


@pytest.mark.parametrize("name", NAMES)
def test_on_the_page(name: str, page: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    test: Callable[[], None] = getattr(page, name)
    test()
