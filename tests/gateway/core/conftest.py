"""What the tests of the switchboard share."""

from __future__ import annotations

import pytest

from tests.support.live_call import Live
from tests.support.switchboard import Room


@pytest.fixture
def room() -> Room:
    """A switchboard without agents and calls."""
    return Room()


@pytest.fixture
def live() -> Live:
    """A call in progress."""
    return Live()
