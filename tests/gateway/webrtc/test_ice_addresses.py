"""The addresses that browsers are told, and the public names of those."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses, with_public_addresses

ANSWER = "\r\n".join(
    (
        "v=0",
        "c=IN IP4 10.0.0.5",
        "a=candidate:aa 1 udp 2130706431 10.0.0.5 40000 typ host",
        "a=candidate:bb 1 udp 2130706431 10.0.0.50 40001 typ host",
        "a=candidate:cc 1 udp 1694498815 198.51.100.1 40000 typ srflx raddr 10.0.0.5 rport 40000",
        "",
    )
)


def test_an_address_behind_a_nat_is_told_by_its_public_name_and_no_other_is_changed() -> None:
    addresses = IceAddresses.parse(["10.0.0.5=203.0.113.7", "10.0.0.50"])
    assert addresses.own == ("10.0.0.5", "10.0.0.50")
    told = with_public_addresses(ANSWER, addresses.public)
    assert told.split("\r\n")[1:4] == [
        "c=IN IP4 203.0.113.7",
        "a=candidate:aa 1 udp 2130706431 203.0.113.7 40000 typ host",
        "a=candidate:bb 1 udp 2130706431 10.0.0.50 40001 typ host",
    ]
    assert told.split("\r\n")[4:] == ANSWER.split("\r\n")[4:]
    assert with_public_addresses(ANSWER, {}) == ANSWER


@pytest.mark.parametrize(
    "setting", ["gateway.example", "10.0.0.5=", "10.0.0.5=us", "=203.0.113.7", "10.0.0.0/8"]
)
def test_what_is_no_address_is_refused_when_the_settings_are_read(setting: str) -> None:
    with pytest.raises(ValidationError, match="is no address: write"):
        GatewayConfig(webrtc_addresses=[setting])
