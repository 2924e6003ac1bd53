"""URIs and addresses as RFC 3261 (19.1, 20.10) writes them, and as others do."""

from __future__ import annotations

import time

import pytest

from piopiy_pipeline.gateway.sip.syntax.uri import (
    NameAddr,
    SipUri,
    UnknownScheme,
    parse_parameters,
    split_list,
)


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:alice@atlanta.example", "alice", "atlanta.example", None),
        ("sip:alice:secret@atlanta.example;transport=tcp", "alice", "atlanta.example", None),
        ("sip:+1-212-555-1212:1234@gateway.example;user=phone", "+1-212-555-1212", "gateway.example", None),
        ("sips:1212@gateway.example", "1212", "gateway.example", None),
        ("sip:atlanta.example;method=REGISTER?to=alice%40atlanta.example", "", "atlanta.example", None),
        ("sip:alice;day=tuesday@atlanta.example", "alice;day=tuesday", "atlanta.example", None),
        ("sip:%61lice@atlanta.example:5070", "alice", "atlanta.example", 5070),
        ("sip:100@pbx1", "100", "pbx1", None),  # a host name may end in a digit
        ("sip:100@my_pbx:5060", "100", "my_pbx", 5060),
        ("sip:100@[2001:db8::1]:5060", "100", "2001:db8::1", 5060),
        ("tel:+1-201-555-0123;phone-context=x", "+1-201-555-0123", "", None),
        ("SIP:a@B", "a", "B", None),
    ],
)
def test_uris_are_read(text: str, user: str, host: str, port: int | None) -> None:
    uri = SipUri.parse(text)
    assert (uri.user, uri.host, uri.port, uri.text) == (user, host, port, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "alice@x",
        "sip:@x",
        "sip:a@b@c",
        "sip:a@b:0",
        "sip:a@b:x",
        "sip:a@[::1",
        "sip:a@b c",
        "tel:x y",
        'sip:a@b;lr="x',
        'sip:a@b;lr="x"y',
        'sip:"a"@b',
    ],
)
def test_what_is_no_uri_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        SipUri.parse(text)


def test_a_uri_of_another_kind_is_another_error() -> None:
    with pytest.raises(UnknownScheme):
        SipUri.parse("mailto:alice@x")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("sip:+1(555)010-0@x", "+15550100"),
        ("sip:alice.b@x", "alice.b"),
        ("tel:+1.555.0100", "+15550100"),
        ("sip:*98@x", "*98"),
    ],
)
def test_a_number_is_read_without_what_only_people_read(text: str, number: str) -> None:
    assert SipUri.parse(text).number == number


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ('"A. G. Bell" <sip:agb@bell.example> ;tag=a48s', "A. G. Bell", "sip:agb@bell.example", "a48s"),
        (
            "Anonymous <sip:c8oqz84zk7z@privacy.example>;tag=hyh8",
            "Anonymous",
            "sip:c8oqz84zk7z@privacy.example",
            "hyh8",
        ),
        ("sip:+12125551212@server.example;tag=887s", "", "sip:+12125551212@server.example", "887s"),
        ('"a \\"b\\" <c>"<sip:x@y;tag=no>', 'a "b" <c>', "sip:x@y;tag=no", ""),
        ('<sip:x@y>;TAG="q"', "", "sip:x@y", "q"),
    ],
)
def test_addresses_are_read(text: str, name: str, uri: str, tag: str) -> None:
    address = NameAddr.parse(text)
    assert (address.name, address.uri, address.tag) == (name, uri, tag)


@pytest.mark.parametrize(
    "text", ["", '"x <sip:a@b>', "<sip:a@b", '"x" sip:a@b', "sip:a?b=c", "<a b>", "<sip:a@b>x"]
)
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        NameAddr.parse(text)


def test_lists_are_split_outside_of_quotes_and_brackets() -> None:
    assert split_list('"a, b" <sip:x@y;p=1,2>, <sip:z>;q="1,2"') == [
        '"a, b" <sip:x@y;p=1,2>',
        '<sip:z>;q="1,2"',
    ]
    with pytest.raises(ValueError, match="empty"):
        split_list("a,,b")


def test_parameters_are_bounded() -> None:
    with pytest.raises(ValueError, match="more than"):
        parse_parameters(";a=b" * 100)


@pytest.mark.parametrize("piece", ['""', '"b" ', "<>", ";", "\\"])
def test_a_long_list_takes_no_longer_than_it_is_long(piece: str) -> None:
    """While one is read, the voices of all calls wait. With the square of its length, this would take minutes."""
    text = "a" + piece * 200_000 + "b"
    began = time.process_time()
    assert split_list(text) == [text]
    assert time.process_time() - began < 5
