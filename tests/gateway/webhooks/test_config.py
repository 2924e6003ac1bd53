"""Settings of webhooks, and how a mistake in them is told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_a_table_for_each_receiver(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[[webhooks]]\nurl = "https://a.example/calls"\nsecret = "{SECRET}"\n'
        f'[[webhooks]]\nurl = "http://127.0.0.1:9"\nsecret = "{SECRET}"\nevents = ["call.turn"]\n'
    )
    first, second = GatewayConfig.load(path, {}).webhooks
    assert first.key == bytes(range(32))
    assert "call.turn" not in first.events
    assert second.events == ["call.turn"]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("url", "ftp://a.example", "begins with http:// or https://"),
        ("url", "https:///calls", "names a host"),
        ("url", "https://a.example:port/", "ort"),
        ("url", f"https://{'a' * 70}.example/", "label"),
        ("url", "https://a.example/ä", "beyond ASCII"),
        ("secret", "hush", "openssl rand"),
        ("secret", "whsec_c2hvcnQ=", "24 to 64"),
        ("events", [], "at least 1"),
        ("events", ["call.begun"], "call.placed"),
        ("retries", 3, "no such setting. There are url, secret, events"),
    ],
)
def test_a_mistake_is_told_without_the_secret(key: str, value: object, says: str, tmp_path: Path) -> None:
    table = {"url": "https://a.example/", "secret": SECRET, "events": ["call.turn"], key: value}
    path = tmp_path / "gateway.toml"
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in table.items()]
    path.write_text("[[webhooks]]\n" + "\n".join(lines))
    with pytest.raises(GatewayError, match=says) as raised:
        GatewayConfig.load(path, {})
    assert str(raised.value).startswith(f"{path}: webhooks.0.{key}")
    assert SECRET not in str(raised.value)


def test_neither_the_secret_nor_a_path_that_may_be_one_is_in_logs() -> None:
    config = WebhookConfig(url="https://a.example:8443/hooks/T0K3N", secret=SECRET)
    assert "T0K3N" not in repr(config)
    assert SECRET not in repr(config)
    assert config.origin == "https://a.example:8443"
    config = WebhookConfig(url="https://a.example/keys/Zm9vYmFyYmF6cXV4MTIz?token=T0K3N", secret=SECRET)
    assert config.name == "https://a.example/keys/Zm9v..."
