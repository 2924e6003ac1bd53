"""The self-check finds what an upgrade of websockets has changed. What the module is for: tests/signaling."""

from collections.abc import Generator

import pytest
from websockets.asyncio.connection import Connection
from websockets.protocol import Protocol
from websockets.streams import StreamReader

from piopiy_pipeline.compat import CompatError, websockets


def test_the_installed_version_passes() -> None:
    websockets.check()


def test_a_hook_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Connection, "process_event")
    with pytest.raises(CompatError, match=r"^websockets [\d.]+: Connection has no process_event"):
        websockets.check()


def test_an_attribute_that_is_no_longer_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_websockets_15(self: Protocol) -> None:
        self.parser = self.reader = self.writes = self.extensions = self.debug = self.side = None  # type: ignore[assignment]

    monkeypatch.setattr(Protocol, "__init__", of_websockets_15)
    with pytest.raises(CompatError, match=r"Protocol has no current_size, Protocol has no max_message_size"):
        websockets.check()


def test_a_parser_that_waits_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_end(self: StreamReader) -> Generator[None, None, bool]:
        while not self.buffer:
            if self.eof:
                return True
            yield
        return False

    monkeypatch.setattr(StreamReader, "at_eof", at_end)
    with pytest.raises(CompatError, match=r"does not wait for a frame in StreamReader\.at_eof"):
        websockets.check()
