"""Where a phone is sent in a blind transfer to a number: the server that takes calls, over the same transport."""

from __future__ import annotations

from typing import cast

import pytest

from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.sip_bench import OURS, SDP, Bench, request, response


class Endpoint:
    port, tls_port = 5060, 5061

    def media_host(self, peer: str) -> str:
        return OURS


def target(call: SipCall, **sip: object) -> str | None:
    phones = Phones(SipConfig.model_validate(sip), place=lambda info, leg: None)
    phones._endpoint = cast("SipEndpoint", Endpoint())
    return phones.refer_target("555", call)


def came(source: Flow, *headers: str, contact: str = "") -> SipCall:
    """A call that came from there."""
    bench = Bench()
    data = request("INVITE", body=SDP, headers=headers, transport=source.transport.upper())
    if contact:
        data = data.replace(b"<sip:alice@192.0.2.9:5060>", contact.encode())
    bench.receive(data, source)
    (call,), (leg,) = bench.calls, bench.legs
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    return call


@pytest.mark.parametrize(
    ("source", "contact", "route", "uri"),
    [
        (Flow("udp", "192.0.2.9", 5080), "", "", "sip:555@192.0.2.9:5080"),
        (Flow("tcp", "192.0.2.9", 51234), "", "", "sip:555@192.0.2.9:5060;transport=tcp"),
        (
            Flow("tcp", "192.0.2.9", 51234),
            "<sip:pbx@10.0.0.5:5070;transport=tcp>",
            "",
            "sip:555@192.0.2.9:5070;transport=tcp",
        ),
        (Flow("tls", "192.0.2.9", 51234), "<sip:pbx@192.0.2.9>", "", "sip:555@192.0.2.9:5061;transport=tls"),
        (
            Flow("tcp", "192.0.2.9", 51234),
            "<sip:a@192.0.2.50:4444>",
            "Record-Route: <sip:192.0.2.9:5062;lr>",
            "sip:555@192.0.2.9:5062;transport=tcp",
        ),
    ],
)
def test_a_number_is_called_at_the_server_that_the_call_came_from(
    source: Flow, contact: str, route: str, uri: str
) -> None:
    """The port that a connection comes from takes no calls."""
    assert target(came(source, *([route] if route else ()), contact=contact)) == uri


def test_a_number_is_called_at_the_server_that_was_called() -> None:
    bench = Bench()
    call, _, invite = bench.dialled_call("sip:bob@192.0.2.9:5090;transport=tcp")
    bench.receive(response(invite, 200, tag="bob", body=SDP), Flow("tcp", "192.0.2.9", 5090))
    assert target(call) == "sip:555@192.0.2.9:5090;transport=tcp"


@pytest.mark.parametrize(
    ("transport", "uri"),
    [
        ("udp", f"sip:555@{OURS}:5060"),
        ("tcp", f"sip:555@{OURS}:5060;transport=tcp"),
        ("tls", f"sip:555@{OURS}:5061;transport=tls"),
    ],
)
def test_a_phone_that_is_registered_here_calls_here_as_it_does(transport: str, uri: str) -> None:
    call = came(Flow(transport, "192.0.2.9", 51234))  # type: ignore[arg-type]
    call.user = "alice"
    assert target(call, default_agent="desk") == uri
