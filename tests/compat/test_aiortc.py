"""What is used of aiortc's and aioice's inside is there; what an upgrade took away is named.

That it also does what it should is tested with real peers in ``tests/gateway/webrtc``.
"""

from __future__ import annotations

from collections.abc import Callable

import aioice.ice
import aiortc.rtcsctptransport
import pytest
from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCRtpSender

from piopiy_pipeline.compat import CompatError
from piopiy_pipeline.compat import aiortc as compat


def test_the_installed_versions_have_all_that_is_used() -> None:
    compat.check()


@pytest.mark.parametrize(
    ("owner", "name", "text"),
    [
        (RTCRtpSender, "send", r"^aiortc 1\.16\.\d+: RTCRtpSender has no send\."),
        (RTCRtpReceiver, "receive", r"^aiortc .*: RTCRtpReceiver has no receive\."),
        (
            aiortc.rtcsctptransport,
            "USERDATA_MAX_LENGTH",
            "aiortc.rtcsctptransport has no USERDATA_MAX_LENGTH",
        ),
        (aioice.ice, "relayed_candidate", r"^aioice 0\.13\.\d+: aioice\.ice has no relayed_candidate\."),
        (aioice.ice.CandidatePair, "remote_addr", "CandidatePair has no remote_addr"),
    ],
)
def test_what_is_gone_is_named(owner: object, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(CompatError, match=text):
        compat.check()


def test_what_a_constructor_no_longer_sets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: RTCDtlsTransport) -> None:
        vars(self).update(_srtp_in=None, _srtp_out=None)

    monkeypatch.setattr(RTCDtlsTransport, "__init__", renamed)
    with pytest.raises(
        CompatError, match="RTCDtlsTransport has no _rx_srtp, RTCDtlsTransport has no _tx_srtp"
    ):
        compat.check()


def test_a_parameter_that_is_called_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_host_addresses(ipv4: bool, ipv6: bool) -> list[str]:
        return []

    monkeypatch.setattr(aioice.ice, "get_host_addresses", get_host_addresses)
    with pytest.raises(CompatError, match="get_host_addresses has no parameter use_ipv4, use_ipv6"):
        compat.check()


def test_candidate_gathering_can_be_replaced_and_put_back() -> None:
    before = compat.candidate_gathering()
    here: Callable[..., list[str]] = lambda use_ipv4, use_ipv6: ["192.0.2.1"]  # noqa: E731
    compat.replace_gathering(compat.CandidateGathering(here, before.server_reflexive, before.relayed))
    try:
        assert aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False) == ["192.0.2.1"]
    finally:
        compat.replace_gathering(before)
    assert compat.candidate_gathering() == before
