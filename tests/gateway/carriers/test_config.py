"""The settings of carriers: what is asked for, and that secrets stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError

PUBLIC = {"public_url": "https://voice.example/"}
TWILIO = {"auth_token": "very-secret"}


def complaint(**carriers: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        GatewayConfig(carriers=carriers)  # type: ignore[arg-type]
    return str(raised.value)


def test_carriers_have_a_table_each(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        "[agents]\ndesk = 'token'\n[carriers]\npublic_url = 'https://voice.example/'\n"
        "[carriers.twilio]\nauth_token = 'very-secret'\nagent = 'desk'\n"
    )
    carriers = GatewayConfig.load(path, {}).carriers
    assert carriers is not None
    assert carriers.public_url == "https://voice.example"
    assert carriers.twilio is not None
    assert carriers.twilio.agent == "desk"
    assert carriers.plivo is None
    assert "very-secret" not in repr(carriers)


def test_an_unknown_setting_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("[carriers]\npublic_url = 'https://voice.example'\n[carriers.acme]\nkey = 'x'\n")
    with pytest.raises(GatewayError) as raised:
        GatewayConfig.load(path, {})
    assert "carriers.acme: no such setting. There are public_url, twilio, telnyx" in str(raised.value)


def test_what_cannot_work_is_refused_at_the_start() -> None:
    assert "name a carrier" in complaint(**PUBLIC)
    for url in ("voice.example", "wss://voice.example", "https://", "https://a/?x=1", "https://u:p@a"):
        assert "public_url" in complaint(public_url=url, twilio=TWILIO), url
    assert "none of agents" in complaint(**PUBLIC, twilio={**TWILIO, "agent": "nobody"})
    assert "32 bytes" in complaint(**PUBLIC, telnyx={"public_key": "AAAA"})
    assert "32 bytes" in complaint(**PUBLIC, telnyx={"public_key": "no base64!"})
    assert "api_url" in complaint(**PUBLIC, twilio={**TWILIO, "api_url": "ftp://x"})
    assert "user" in complaint(**PUBLIC, exotel={"user": "a:b", "password": "c"})
    assert "very secret" not in complaint(**PUBLIC, twilio={"auth_token": "very secret"})
