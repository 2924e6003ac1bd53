"""What the tests of this folder share."""

from __future__ import annotations

import pytest


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether harm lasts as long as in its full form: `--chaos-long`."""
    return bool(request.config.getoption("--chaos-long"))
