"""The addresses of a SIP endpoint: ours, as others reach us, and those of trunks that are known by name."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint


def test_the_address_that_others_reach_us_by_is_theirs_to_know() -> None:
    outside = SipAddresses("0.0.0.0", "203.0.113.1")
    assert outside.ours_for("198.51.100.7") == "203.0.113.1"
    assert outside.ours_for("127.0.0.1") == "127.0.0.1"
    assert SipAddresses("127.0.0.1", None).ours_for("198.51.100.7") == "127.0.0.1"
    assert SipAddresses("0.0.0.0", None).ours_for("trunk.example") != "0.0.0.0"


def test_the_external_host_of_the_settings_is_what_the_world_is_told() -> None:
    async def story() -> None:
        settings = SipConfig(port=0, external_host="203.0.113.1")
        endpoint = await SipEndpoint.open(settings, NobodyHome())
        try:
            assert endpoint.media_host("198.51.100.7") == "203.0.113.1"
            assert endpoint.media_host("127.0.0.1") == "127.0.0.1"
        finally:
            await endpoint.close()

    asyncio.run(story())


class NobodyHome:
    """A listener that nobody calls."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        raise AssertionError("nobody calls here")


def test_the_names_of_trunks_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DNS may not be there when the gateway starts, and a carrier may move."""
    answers: list[list[str] | OSError] = [OSError("no DNS"), ["192.0.2.9"], ["192.0.2.10"]]

    async def look_up(self: SipAddresses, host: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def work() -> None:
        monkeypatch.setattr(SipAddresses, "all", look_up)
        trunks = {"t": {"host": "trunk.example"}}
        settings = SipConfig.model_validate({"port": 0, "transports": ["udp"], "trunks": trunks})
        endpoint = await SipEndpoint.open(settings, NobodyHome())
        try:
            trusts = endpoint._agent.admission.trusts

            async def look_again() -> None:
                endpoint._sweep()
                assert endpoint._trusting is not None
                await endpoint._trusting

            assert endpoint._trusting is not None
            await endpoint._trusting
            assert not trusts("192.0.2.9")
            await look_again()
            assert trusts("192.0.2.9")
            await look_again()  # too early
            assert len(answers) == 1
            endpoint._trust_at = 0.0
            await look_again()
            assert trusts("192.0.2.10")
        finally:
            await endpoint.close()

    asyncio.run(work())
