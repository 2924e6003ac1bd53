"""Messages on a connection: whole ones, whatever the pieces are that they come in."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.syntax.framing import Framer, FramingError
from tests.support.sip_bench import SDP, request

INVITE = request("INVITE", body=SDP)
OPTIONS = request("OPTIONS")


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_messages_come_whole_out_of_pieces(size: int) -> None:
    framer = Framer()
    stream = INVITE + OPTIONS + b"\r\n\r\n" + INVITE
    found = [m for at in range(0, len(stream), size) for m in framer.feed(stream[at : at + size])]
    assert found == [INVITE, OPTIONS, INVITE]
    assert not framer.waiting


def test_a_double_line_end_asks_for_a_sign_of_life() -> None:
    """RFC 5626, 4.4.1."""
    framer = Framer()
    assert framer.feed(b"\r\n\r\n") == []
    assert framer.pings == 1


@pytest.mark.parametrize(
    "data",
    [
        OPTIONS.replace(b"Content-Length: 0\r\n", b""),
        OPTIONS.replace(b"Content-Length: 0", b"Content-Length: -1"),
        OPTIONS.replace(b"Content-Length: 0", b"Content-Length: 999999"),
        OPTIONS.replace(b"Content-Length: 0", b"l: 5\r\nContent-Length: 0"),
        b"A" * 40_000,
    ],
)
def test_what_cannot_be_divided_is_an_error(data: bytes) -> None:
    with pytest.raises(FramingError):
        Framer().feed(data)


def test_the_short_name_of_content_length_is_known() -> None:
    short = OPTIONS.replace(b"Content-Length", b"l")
    assert Framer().feed(short) == [short]
