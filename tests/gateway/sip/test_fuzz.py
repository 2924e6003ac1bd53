"""Ten thousand broken messages, hurled at a user agent with a call in progress: no exception, bounded state."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SdpError, SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.framing import Framer, FramingError
from piopiy_pipeline.gateway.sip.syntax.message import MalformedMessage, parse
from tests.support.sip_bench import SDP, Bench, codes, request, response

TORTURE = [path.read_bytes() for path in sorted((Path(__file__).parent / "torture").glob("*.dat"))]
OWN = [
    request("INVITE", body=SDP, headers=["X-A: b", "Record-Route: <sip:p;lr>", "Session-Expires: 120"]),
    request(
        "REGISTER", headers=['Authorization: Digest username="bob", realm="piopiy", nonce="x", uri="sip:x"']
    ),
    request("CANCEL"),
    request("ACK", to_tag="t2"),
    request("BYE", branch="b7", cseq=3, to_tag="BUSY", call_id="busy"),
    request(
        "INFO",
        branch="b8",
        to_tag="BUSY",
        call_id="busy",
        cseq=9,
        body="Signal=1",
        headers=["Content-Type: application/dtmf-relay"],
    ),
    request("INVITE", branch="b9", to_tag="BUSY", call_id="busy", cseq=9, body=SDP),
    request(
        "NOTIFY",
        branch="b10",
        to_tag="BUSY",
        call_id="busy",
        cseq=9,
        body="SIP/2.0 200 OK",
        headers=["Event: refer"],
    ),
]
"""`BUSY` stands for our tag in the call ``busy``."""
OWN_INFO = 5
PIECES = [
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b";",
        b",",
        b":",
        b"<",
        b">",
        b'"',
        b"\\",
        b"=",
        b"@",
    ),
    *(b"%", b"%00", b"%zz", b"[", b"]", b"::", b"\xff", b"\xc3\xa9", b"-1", b"0", b"4294967296", b"9" * 400),
    *(
        b"SIP/2.0",
        b"INVITE",
        b"z9hG4bK",
        b";tag=",
        b";rport",
        b"Via: ",
        b"Content-Length: ",
        b"a" * 3000,
        b";" * 200,
    ),
    *(
        b"m=audio 0 RTP/AVP 0\r\n",
        b"a=rtpmap:",
        b"c=IN IP6 ",
        b"\xd9\xa3",
        b"self=1",
        b";self",
        b"Contact: *",
    ),
]
MESSAGES = 10_000
A_BATCH = 200


@pytest.fixture(autouse=True, scope="module")
def failures() -> Iterator[list[str]]:
    """What the user agent caught and logged: it must not come to that."""
    logged: list[str] = []
    sink = logger.add(logged.append, level="ERROR", format="{message}{exception}")
    yield logged
    logger.remove(sink)
    assert logged == []


def fresh(base: bytes, n: int) -> bytes:
    """A request as another one of its kind: what has a branch that was seen is a retransmission, and not read."""
    data = base.replace(b"branch=z9hG4bK", b"branch=z9hG4bK%d-" % n).replace(b"call-1", b"call-%d" % (n % 50))
    return data.replace(b"CSeq: 9 ", b"CSeq: %d " % (9 + n))


def mutated(base: bytes, chance: random.Random) -> bytes:
    data = bytearray(base)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(5)
        if what == 0:
            data[at:at] = chance.choice(PIECES)
        elif what == 1:
            del data[at : at + chance.randint(1, 40)]
        elif what == 2 and at < len(data):
            data[at] = chance.randrange(256)
        elif what == 3:
            data[at : at + chance.randint(1, 10)] = chance.choice(PIECES)
        else:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.randint(1, 80)]
    return bytes(data)


@settings(max_examples=MESSAGES // A_BATCH, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**64))
def test_mutated_messages_cost_no_call_and_leave_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench(
        SipConfig(
            callers="anyone",
            default_agent="desk",
            users={"bob": "pw"},
            max_refusals_per_minute=1_000_000,
            max_transactions=400,
            max_calls_per_source=20,
        )
    )
    call, leg = bench.answered_call(call_id="kept", branch="kept", from_tag="phone")
    busy, busy_leg = bench.answered_call(call_id="busy", branch="busy", from_tag="phone")
    busy.refer("sip:x@y", bench.now)
    bench.take()
    own = [message.replace(b"BUSY", busy.local_tag.encode()) for message in OWN]
    assert codes(bench.receive(fresh(own[OWN_INFO], 0))) == [200]  # it is within the dialog
    assert busy_leg.names[-1] == "dtmf"
    _, _, invite = bench.dialled_call()
    challenge = 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"'
    replies = [
        response(invite, 100),
        response(invite, 183, tag="b", body=SDP),
        response(invite, 200, tag="b", body=SDP, Record_Route="<sip:p;lr>", Session_Expires="120"),
        response(invite, 407, tag="b", Proxy_Authenticate=challenge),
        response(invite, 503, tag="b"),
    ]
    for n in range(A_BATCH):
        base = chance.choice(TORTURE + own + replies)
        data = mutated(base if base in replies else fresh(base, n), chance)
        bench.agent.receive(data, Flow(chance.choice(("udp", "tcp")), "198.51.100.9", 5060), bench.now)
        bench.agent.take_outbox()
        bench.now += 0.01
    assert bench.agent.transactions <= 400
    assert len(bench.agent.calls) <= 23
    for other in bench.agent.calls:
        if other is not call:
            other.hangup(bench.now)
    bench.agent.take_outbox()
    assert not call.ended
    bye = request("BYE", branch="end", cseq=1000, to_tag=call.local_tag, call_id="kept")
    assert codes(bench.receive(bye)) == [200]
    assert leg.ending == (Ending.PEER_HUNG_UP, 200)
    while bench.agent.wake_at is not None and bench.now < 1e5:
        bench.now = max(bench.now, bench.agent.wake_at)
        bench.agent.wake(bench.now)
        bench.agent.take_outbox()
    assert bench.agent.transactions == 0
    assert bench.agent.calls == []


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_read_or_refused(data: bytes, stream: bool) -> None:
    for message in (data, b"INVITE sip:a@b SIP/2.0\r\n" + data, b"SIP/2.0 200 OK\r\n" + data + b"\r\n\r\n"):
        with contextlib.suppress(MalformedMessage):
            parse(message, stream=stream)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**64))
def test_mutated_descriptions_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        data = mutated(SDP.encode(), chance)
        try:
            Negotiation(host="192.0.2.1", port=30_000, codecs=["PCMU", "opus"], session_id=1).answer(
                SessionDescription.parse(data)
            )
        except (SdpError, SdpRefused):
            continue


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**64))
def test_mutated_streams_are_divided_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    framer = Framer()
    try:
        for _ in range(10):
            for message in framer.feed(mutated(chance.choice(OWN), chance)):
                assert len(message) <= 65_535
    except FramingError:
        return
