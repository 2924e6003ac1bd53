"""The torture messages of RFC 4475, byte for byte, against a whole user agent with a call in progress.

Expected is what the RFC says, where it leaves a choice what is done here: 0 stands for no reply, which
is right for responses and for what cannot be replied to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, parse
from tests.support.sip_bench import Bench, codes, request

FOLDER = Path(__file__).parent / "torture"
MESSAGES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.dat"))}

EXPECTED = {
    # 3.1.1: valid, however strange they look
    "wsinv": 481,  # a To tag: within a call that we do not know
    "intmeth": 501,
    "esc01": 100,
    "escnull": 403,  # a REGISTER where nobody has a password
    "esc02": 501,
    "lwsdisp": 200,
    "longreq": 100,
    "dblreq": 403,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 405,
    "unreason": 0,
    "noreason": 0,
    # 3.1.2: not valid
    "badinv01": 0,  # a Via that says nowhere to
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": 0,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 100,  # headers in a Request-URI: they are ignored
    "baddate": 100,  # Date is nothing that we read
    "regbadct": 403,
    "badaspec": 400,
    "baddn": 200,  # a display name that should have been quoted can be read all the same
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": 0,
    # 3.2: the transaction layer
    "badbranch": 200,
    # 3.3: the application layer
    "insuf": 0,  # nothing to reply to: no Call-ID, From, or To
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 403,
    "bext01": 420,
    "invut": 415,
    "regaut01": 403,
    "multi01": 400,
    "mcl01": 400,
    "bcast": 0,
    "zeromf": 200,  # we are where it was going to
    "cparam01": 403,
    "cparam02": 403,
    "regescrt": 403,
    "sdp01": 406,
    # 3.4: RFC 2543
    "inv2543": 100,
}


def statuses(bench: Bench, data: bytes, source: Flow) -> list[int]:
    """The status codes of what is sent at once; [0] for nothing. What was broken comes back broken, so unread."""
    bench.agent.receive(data, source, bench.now)
    sent = [packet.data for packet in bench.agent.take_outbox()]
    assert all(data.startswith(b"SIP/2.0 ") and data.count(b"\r\n\r\n") == 1 for data in sent)
    return [int(data[8:11]) for data in sent] or [0]


def test_every_message_is_here() -> None:
    assert set(MESSAGES) == set(EXPECTED)
    assert len(MESSAGES) == 49


@pytest.mark.parametrize("name", EXPECTED)
def test_a_torture_message_gets_the_reply_that_it_deserves(name: str) -> None:
    bench = Bench(SipConfig(callers="anyone", default_agent="desk", codecs=["PCMU", "PCMA", "G722", "opus"]))
    bench.answered_call()
    assert statuses(bench, MESSAGES[name], Flow("udp", "198.51.100.99", 5060))[:1] == [EXPECTED[name]]
    call = bench.calls[0]
    assert codes(bench.receive(request("BYE", branch="end", cseq=2, to_tag=call.local_tag))) == [200]
    for other in bench.calls[1:]:
        other.reject(486, "", bench.now)
    bench.run(70.0)
    assert bench.agent.transactions == 0
    assert bench.agent.calls == []


@pytest.mark.parametrize("name", EXPECTED)
def test_over_a_connection_too(name: str) -> None:
    bench = Bench()
    statuses(bench, MESSAGES[name], Flow("tcp", "198.51.100.99", 5060))
    assert bench.agent.transactions <= 1


def test_a_short_tortuous_invite_is_read_as_it_was_meant() -> None:
    """3.1.1.1."""
    message = parse(MESSAGES["wsinv"])
    assert isinstance(message, SipRequest)
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "")
    assert len(message.vias) == 3
    assert message.from_.name == 'J Rosenberg \\"'
    assert (message.from_.tag, message.to.tag, message.cseq.sequence) == ("98asjd8", "1918181833n", 9)
    (contact,) = message.addresses("Contact")
    assert (contact.uri, contact.parameters["q"]) == ("sip:jdrosen@example.com", "0.33")
    assert message.listed("Route") == ["<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"]
    assert len(message.body) == 150


def test_what_is_no_utf_8_goes_back_as_it_came() -> None:
    data = request("OPTIONS").replace(b"Alice A", b"Al\xe9")
    bench = Bench()
    bench.agent.receive(data, Flow("udp", "192.0.2.9", 5060), bench.now)
    assert b"Al\xe9" in bench.agent.take_outbox()[0].data
