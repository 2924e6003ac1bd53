"""What the tests in a browser share: the address that `make run` prints, with the bot behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import find_chromium
from tests.support.make_run import Running
from tests.support.make_run import make_run as running


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The process that `make run` is."""
    find_chromium()
    with running(tmp_path_factory.mktemp("dev")) as run:
        yield run
