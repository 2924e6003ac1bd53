"""What a call logs, as `log_to_stderr` writes it, in whatever order tests run: a fixture.

A test before may have had the command line log in its own way, which takes all of loguru's handlers away.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

__all__ = ["log_lines"]


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines that are logged in a test. A traceback is in the line that it belongs to."""
    from loguru import logger

    from piopiy_pipeline import log

    written: list[str] = []
    monkeypatch.setattr(log, "_write", lambda message: written.append(str(message)))
    monkeypatch.setattr(log, "_handler", logger.add(lambda _: None))
    log.log_to_stderr()
    yield written
    logger.remove(log._handler)
