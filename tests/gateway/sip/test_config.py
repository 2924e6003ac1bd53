"""What an operator may set for telephones, and what is a mistake."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway.sip.config import SipConfig, SipRoute


def test_the_defaults_let_nobody_in() -> None:
    config = SipConfig()
    assert (config.host, config.callers, config.users, config.trunks) == ("127.0.0.1", "known", {}, {})
    assert config.agent_for("100") is None


def test_the_first_route_that_matches_is_taken() -> None:
    config = SipConfig(
        routes=[
            SipRoute(to="100", agent="one"),
            SipRoute(to="10*", agent="ten"),
            SipRoute(to="*", agent="rest"),
        ]
    )
    assert [config.agent_for(number) for number in ("100", "1000", "2")] == ["one", "ten", "rest"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"routes": [{"to": "1*2", "agent": "a"}]}, "only place for '\\*'"),
        ({"rtp_ports": [2000, 1999]}, "rtp_ports"),
        ({"tls_key": "key.pem"}, "tls_certificate"),
        ({"trunks": {"t": {"host": "x", "register_there": True}}}, "as whom"),
        ({"trunks": {"t": {"host": "x", "sources": ["nowhere"]}}}, "nowhere"),
        ({"users": {"a b": "c"}}, "users"),
        ({"codecs": []}, "codecs"),
        ({"contacts": {"boss": "nobody"}}, "contacts.boss: neither"),
        ({"contacts": {"boss": "tel:"}}, "contacts.boss: neither"),
        ({"contacts": {"boss": "100", "Boss": "101"}}, "'Boss' is there twice"),
        ({"dial_allowed": ["+49*0"]}, "only place for '\\*'"),
        ({"trunks": {"t": {"host": "x", "prefixes": ["+49*x"]}}}, "prefixes"),
        ({"trunks": {"t": {"host": "x", "caller_ids": ["+49*", "+4930"]}}}, "a whole number"),
        ({"prot": 1}, "prot"),
    ],
)
def test_a_mistake_is_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SipConfig.model_validate(settings)


def test_passwords_are_never_shown() -> None:
    config = SipConfig.model_validate(
        {"users": {"a": "hush"}, "trunks": {"t": {"host": "x", "user": "u", "password": "hush"}}}
    )
    assert "hush" not in repr(config)
    with pytest.raises(ValidationError) as raised:
        SipConfig.model_validate({"users": {"a": ["hush"]}})
    assert "hush" not in str(raised.value)


def test_the_settings_of_the_documentation_are_settings() -> None:
    page = (Path(__file__).parents[3] / "docs" / "phones.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    config = SipConfig.model_validate(tomllib.loads(block)["sip"])
    assert set(config.trunks) == {"carrier", "mobile"}
