"""Who may use the API, by the headers of a request."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.access.access import Access, AccessError, header_of
from piopiy_pipeline.gateway.config import GatewayConfig

LOCAL = {"host": "127.0.0.1:7860"}


def access(**settings: object) -> Access:
    return Access(GatewayConfig.model_validate({"api_keys": ["right", "other"], **settings}))


def operator(who: Access, **headers: str) -> bool:
    return who.is_operator(header_of([(name.replace("_", "-"), value) for name, value in headers.items()]))


@pytest.mark.parametrize("key", ["right", "other"])
def test_each_of_the_keys_is_good(key: str) -> None:
    assert operator(access(), authorization=f"Bearer {key}")
    assert operator(access(), authorization=f"bearer  {key} ")


@pytest.mark.parametrize(
    "value", ["", "right", "Bearer", "Bearer ", "Basic right", "Bearer righ", "Bearer rightx"]
)
def test_all_else_is_none(value: str) -> None:
    assert not operator(access(), authorization=value, **LOCAL)


@pytest.mark.parametrize(
    ("settings", "headers", "says"),
    [
        ({}, {}, "send 'Authorization: Bearer <API key>'"),
        ({}, {"authorization": "Bearer wrong"}, "no API key of this gateway"),
        ({"api_keys": []}, {}, "set api_keys"),
    ],
)
def test_a_refusal_says_what_to_do(settings: dict[str, object], headers: dict[str, str], says: str) -> None:
    with pytest.raises(AccessError, match=says.replace("<", ".").replace(">", ".")) as refused:
        access(**settings).check_operator(headers.get)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "LOCALHOST:1"]
)
def test_an_open_console_asks_for_no_key_at_a_loopback_name(host: str) -> None:
    assert operator(access(console="open"), host=host)
    assert operator(access(console="open"), host=host, origin=f"http://{host.lower()}")


@pytest.mark.parametrize("keys", [["right"], []])
def test_an_open_console_refuses_a_key_that_is_wrong(keys: list[str]) -> None:
    who, header = access(console="open", api_keys=keys), {**LOCAL, "authorization": "Bearer wrong"}.get
    assert not who.is_operator(header)
    with pytest.raises(AccessError, match="no API key of this gateway: leave it out") as refused:
        who.check_operator(header)
    assert refused.value.status == 401
    with pytest.raises(AccessError, match="no API key of"):
        who.check_watcher("wrong", LOCAL.get)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:7860"},  # a name that was pointed at this machine
        {"host": "evil.example:7860", "origin": "http://evil.example:7860"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[::1"},
        {},
        {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:8000"},
        {"host": "127.0.0.1:7860", "origin": "null"},
        {"host": "127.0.0.1:7860", "sec_fetch_site": "cross-site"},
        {"host": "127.0.0.1:7860", "sec_fetch_site": "same-site"},
        {"host": "127.0.0.1:7860", "x_forwarded_for": "203.0.113.7"},  # a tunnel that gives out our name
        {"host": "127.0.0.1:7860", "forwarded": "for=203.0.113.7"},
    ],
)
def test_an_open_console_is_not_open_to_others(headers: dict[str, str]) -> None:
    assert not operator(access(console="open"), **headers)
    assert operator(access(console="open"), authorization="Bearer right", **headers), "a key is a key"


def test_a_page_of_a_foreign_origin_is_refused_and_a_configured_one_is_not() -> None:
    who = access(allowed_origins=["https://shop.example/"])
    for origin in ("https://shop.example", "https://SHOP.example", "http://127.0.0.1:7860"):
        who.check_origin({"origin": origin, **LOCAL}.get)
    who.check_origin(LOCAL.get)
    for origin in ("https://shop.example.evil", "http://shop.example", "null", "", "file://"):
        with pytest.raises(AccessError, match="allowed_origins") as refused:
            who.check_origin({"origin": origin, **LOCAL}.get)
        assert refused.value.status == 403


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://calls.example", "calls.example"),
        ("https://calls.example", "calls.example:443"),
        ("http://calls.example", "calls.example:80"),
        ("https://calls.example:8443", "calls.example:8443"),
    ],
)
def test_the_gateways_own_pages_are_known_behind_a_proxy_too(origin: str, host: str) -> None:
    access().check_origin({"origin": origin, "host": host}.get)


def test_a_watcher_shows_its_key_as_a_message() -> None:
    access().check_watcher("right", header_of([]))
    access(console="open").check_watcher(None, LOCAL.get)
    for key, says in ((None, "no API key was sent"), ("wrong", "no API key of")):
        with pytest.raises(AccessError, match=says):
            access().check_watcher(key, LOCAL.get)
