"""What pydantic finds wrong is told in sentences: the key first, and no word of its validators."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from piopiy_pipeline.fault_text import fault_key, fault_text
from piopiy_pipeline.gateway.config import GatewayConfig

CLUSTER = {"servers": ["nats://127.0.0.1:4222"], "url": "ws://10.0.0.1:7860"}
PORTS = 'two ports from 1024 to 65535, the first not above the last, as "20000-20999"'


def of_cluster(**settings: Any) -> dict[str, Any]:
    return {"cluster": {**CLUSTER, **settings}}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (of_cluster(servers="nats://a:4222"), "cluster.servers: expected a list, in square brackets"),
        (of_cluster(servers=[]), "cluster.servers: expected at least 1 item, not 0"),
        (
            of_cluster(servers=["nats://a:abc"]),
            "cluster.servers: nats://a:abc is no address: its port is a number up to 65535",
        ),
        (
            of_cluster(servers=["nats://bad host:1"]),
            "cluster.servers: 'nats://bad host:1' is no address: there is a space in it",
        ),
        (
            of_cluster(url="10.0.0.1:7860"),
            "cluster.url: the address of this gateway looks like ws://host:port",
        ),
        (of_cluster(name=""), "cluster.name: expected at least 1 character"),
        (of_cluster(name="a\nb"), "cluster.name: has a character that may not be there"),
        (of_cluster(user="a"), "cluster: user and password: give both or neither"),
        (of_cluster(credentials="/nowhere"), "cluster.credentials: there is no file '/nowhere'"),
        ({"host": "0.0.0.0", "cluster": {"servers": ["nats://a:1"]}}, "cluster: agents of other gateways"),
        ({"agents": {"a\nb": "t"}}, "agents.a\\nb: has a character that may not be there"),
        ({"webrtc_ports": [20_999, 20_000]}, f"webrtc_ports: {PORTS}, not 20999, 20000"),
        ({"webrtc_ports": "80-90"}, f"webrtc_ports: {PORTS}, not 80, 90"),
        ({"webrtc_ports": "20000"}, f"webrtc_ports: {PORTS}, not '20000'"),
        ({"webrtc_ports": [1]}, f"webrtc_ports: {PORTS}"),
        ({"webrtc_ports": 7}, f"webrtc_ports: {PORTS}"),
        ({"sip": {"rtp_ports": "21000-21000"}}, "sip.rtp_ports: a call takes two ports"),
        ({"sip": {"rtp_ports": [2, 1]}}, f"sip.rtp_ports: {PORTS}, not 2, 1"),
        (
            {"sip": {"trunks": {"a": {"host": "b", "sources": ["x"]}}}},
            "sip.trunks.a.sources: 'x' is no address",
        ),
        ({"sip": []}, "sip: expected a table"),
        (
            {"metrics_networks": ["10.4.0.0/99"]},
            "metrics_networks: '10.4.0.0/99' is no network: it looks like",
        ),
        ({"drain_s": "soon"}, "drain_s: expected a number"),
        ({"drain_s": -1}, "drain_s: expected greater than or equal to 0"),
        ({"port": "x"}, "port: expected a whole number"),
        ({"records": "perhaps"}, "records: expected true or false"),
        ({"console": "shut"}, "console: expected 'key' or 'open'"),
        ({"host": "0.0.0.0", "console": "open"}, "console: 'open' asks nobody for a key"),
        ({"tls_key": "a"}, "tls_certificate and tls_key: give both or neither"),
        ({"webhooks": [{}]}, "webhooks.0.url: is missing"),
    ],
)
def test_a_wrong_setting_is_told_in_a_sentence(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        GatewayConfig.model_validate(settings)
    fault = raised.value.errors()[0]
    text = fault_text(fault)
    assert text.startswith(says)
    assert not [
        word for word in ("error, ", "Input should", "valid tuple", "after validation") if word in text
    ]
    assert fault_key(fault) in {*settings, ""}


@pytest.mark.parametrize("ports", ["20000-20999", " 20000 - 20999 ", [20_000, 20_999], (20_000, 20_999)])
def test_ports_are_written_as_of_the_option_or_as_a_list(ports: Any) -> None:
    config = GatewayConfig.model_validate({"webrtc_ports": ports, "sip": {"rtp_ports": ports}})
    assert config.sip is not None
    assert (config.webrtc_ports, config.sip.rtp_ports) == ((20_000, 20_999), (20_000, 20_999))
    # What was read is read again.
    assert GatewayConfig.model_validate(config.model_dump()).webrtc_ports == (20_000, 20_999)
