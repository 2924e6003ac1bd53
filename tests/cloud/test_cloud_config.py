"""The settings `[cloud]`: what cannot work is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError

for package in ("livekit.rtc", "piopiy_agent"):
    pytest.importorskip(package, reason="pip install 'piopiy-pipeline[cloud]'")

CLOUD = {"agent_id": "desk", "token": "t"}


def load(cloud: Mapping[str, object]) -> GatewayConfig:
    return GatewayConfig.load(
        None, {"PIOPIY_GATEWAY_AGENTS": '{"desk": "own"}', "PIOPIY_GATEWAY_CLOUD": json.dumps({**cloud})}
    )


def test_the_defaults_are_those_of_piopiys_package() -> None:
    cloud = load(CLOUD).cloud
    assert cloud is not None
    assert (cloud.address, cloud.tls, cloud.max_calls) == ("register.piopiy.com", True, 10)
    assert cloud.api_url == "https://rest.piopiy.com/v3"


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:50051", "10.1.2.3", "https://10.1.2.3:1"])
def test_a_register_of_ones_own_needs_no_tls(address: str) -> None:
    assert load(CLOUD | {"address": address, "tls": False}).cloud is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"agent_id": "other"}, "agent 'other' is none of agents"),
        ({"tls": False}, "would send the token in clear to 'register.piopiy.com'"),
        ({"tls": False, "address": "8.8.8.8:50051"}, "would send the token in clear"),
        ({"api_url": "rest.piopiy.com"}, "it looks like https://rest.piopiy.com/v3"),
        ({"api_url": "https://me:secret@rest.piopiy.com"}, "it looks like https://rest.piopiy.com/v3"),
        ({"accept": "never"}, "cloud.accept"),
        ({"max_calls": 0}, "cloud.max_calls"),
        ({"token": ""}, "cloud.token"),
        ({"token": "a secret"}, "cloud.token: it is empty, or has a space"),
        ({"address": "10.66.0.1:99999"}, "cloud.address: it looks like register.piopiy.com"),
        ({"address": "10.66.0.1:0"}, "cloud.address: it looks like"),
        ({"address": "https://foo.example/x"}, "cloud.address: it looks like"),
        ({"address": "ftp://foo.example"}, "cloud.address: it looks like"),
        ({"address": "me:secret@foo.example"}, "cloud.address: it looks like"),
        ({"address": "two words"}, "cloud.address: it looks like"),
        ({"regsiter": "x"}, "cloud.regsiter: no such setting. There are agent_id, token, address"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(changes: dict[str, object], says: str) -> None:
    with pytest.raises(GatewayError) as refused:
        load(CLOUD | changes)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
