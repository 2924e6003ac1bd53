"""SIP messages that were refused for a part that nobody needs, and 2xx responses that nobody acknowledged.

`PROPERTY_CASES=10000` tries as many messages of any shape.
"""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from tests.support.sip_bench import PHONE, SDP, Bench, codes, request, response

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
MIXED = 'Content-Type: multipart/mixed;boundary="x y"'


def mixed(sdp: str = SDP, boundary: str = "x y", more: str = "") -> str:
    """An ISUP message and a description, as a server between two telephone networks sends them."""
    return (
        f"a preamble\r\n--{boundary}\r\nContent-Type: application/ISUP;version=itu-t92+\r\n"
        "Content-Disposition: signal;handling=optional\r\n\r\n\x01\x11\x00\r\n"
        f"--{boundary}\r\nContent-Type: application/sdp\r\n{more}\r\n{sdp}\r\n--{boundary}--\r\n"
    )


def nested() -> str:
    inner = mixed(boundary="in")
    return f"--x y\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n{inner}\r\n--x y--"


BODIES = {
    "mixed": mixed(),
    "nested": nested(),
    "base64": mixed(base64.encodebytes(SDP.encode()).decode(), more="Content-Transfer-Encoding: base64\r\n"),
    "quoted": mixed(SDP.replace("=", "=3D"), more="Content-Transfer-Encoding: quoted-printable\r\n"),
    "cut": mixed().removesuffix("--x y--\r\n"),
    "folded": mixed().replace("Content-Type: application/sdp", "content-type:\r\n application/SDP ;x=y"),
    "bare line ends": mixed().replace("\r\n", "\n"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_description_among_other_parts(name: str) -> None:
    bench = Bench()
    assert codes(bench.receive(request("INVITE", body=BODIES[name], headers=[MIXED]))) == [100]
    (call,) = bench.calls
    assert call.offer is not None
    assert call.offer.audio is not None
    assert call.offer.audio.port == 4000


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (mixed().replace("application/sdp", "text/plain"), [MIXED]),
        (mixed(), ["Content-Type: multipart/mixed"]),
        (mixed(), ["Content-Type: multipart/mixed;boundary=other"]),
        (mixed(SDP, more="Content-Transfer-Encoding: base64\r\n"), [MIXED]),
        (SDP, ["Content-Type: application/sdp", "Content-Encoding: gzip"]),
        (SDP, ["Content-Type: text/plain"]),
    ],
)
def test_a_body_without_a_description_is_still_refused(body: str, headers: list[str]) -> None:
    bench = Bench()
    assert codes(bench.receive(request("INVITE", body=body, headers=headers))) == [415]
    call, leg = bench.answered_call(call_id="other", branch="other")
    again = request(
        "INVITE", branch="re", cseq=2, to_tag=call.local_tag, call_id="other", body=body, headers=headers
    )
    assert codes(bench.receive(again)) == [415]
    assert "reoffered" not in leg.names
    assert not call.ended


def test_a_reinvite_and_an_answer_with_other_parts() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    again = request("INVITE", branch="re", cseq=2, to_tag=call.local_tag, body=mixed(), headers=[MIXED])
    assert codes(bench.receive(again)) == [200]
    assert leg.names[-1] == "reoffered"

    _, leg, invite = bench.dialled_call()
    early = response(invite, 183, tag="b").replace(
        b"Content-Length: 0", MIXED.encode() + b"\r\nContent-Length: 0"
    )
    body = mixed().encode()
    early = early.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body
    bench.receive(early)
    assert leg.names == ["early_media"]
    assert codes(bench.receive(early.replace(b"SIP/2.0 183", b"SIP/2.0 200"))) == ["ACK"]
    assert leg.names[-1] == "answered"


def test_the_answer_in_an_ack_with_other_parts() -> None:
    bench = Bench()
    bench.receive(request("INVITE"))
    (call,), (leg,) = bench.calls, bench.legs
    call.answer(leg.media.offer(), bench.now)
    bench.take()
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag, body=mixed(), headers=[MIXED]))
    assert leg.names[-1] == "answered"


# ---------------------------------------------------------------------- SDP


@pytest.mark.parametrize(
    "sdp",
    [
        SDP + "nonsense\r\n=x\r\na\r\n?=1\r\n",
        SDP.replace("o=- 1 1 IN IP4 192.0.2.9", "o=me too 1"),
        SDP.replace("o=- 1 1 IN IP4 192.0.2.9\r\n", ""),
        SDP.replace("t=0 0\r\n", ""),
        SDP + "a=rtcp:\r\na=rtcp:x IN\r\na=rtpmap:99\r\na=rtpmap:101 x/y/z\r\na=ptime:\r\na=fmtp\r\n",
        SDP + "m=video 70000 RTP/AVP 31\r\nc=IN\r\na=rtpmap:31\r\n",
        SDP + "m=image 0 udptl\r\n",
        SDP + "m=audio x RTP/AVP 0\r\n",
        SDP + "m=audio 5000 RTP/AVP 300\r\nc=nowhere\r\n",
        SDP.replace("c=IN IP4 192.0.2.9", "c=ATM somewhere") + "c=IN IP4 192.0.2.9\r\n",
        SDP.replace("m=audio", "m=audio 0 RTP/AVP 0\r\nm=audio"),
        SDP.replace("m=audio", "m=audio 70000 RTP/AVP 0\r\nm=audio"),
        SDP.replace(" 0 101", " 0 101 x 300"),
    ],
)
def test_lines_that_nobody_uses_refuse_no_call(sdp: str) -> None:
    bench = Bench()
    assert codes(bench.receive(request("INVITE", body=sdp))) == [100]
    (call,), (leg,) = bench.calls, bench.legs
    assert call.offer is not None
    answer, agreed = leg.media.answer(call.offer)
    assert len(answer.media) == sdp.count("m=")
    assert (agreed.host, agreed.port) == ("192.0.2.9", 4000)


# ---------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("<sip:alice@192.0.2.9:5060>", "<sip:alice@192.0.2.9:5060>;"),
        ("<sip:alice@192.0.2.9:5060>", "<sip:alice@192.0.2.9:5060>;;;"),
        ("<sip:alice@192.0.2.9:5060>", '<sip:alice@192.0.2.9:5060;x="y;z">;+sip.instance="<urn:uuid:1>"'),
        ("<sip:alice@192.0.2.9:5060>", '<sip:alice@192.0.2.9:5060>;x="a"b;"quoted";a b;=c'),
        ("<sip:alice@192.0.2.9:5060>", "<sip:alice@192.0.2.9:5060;ob;>,"),
        ("<sip:alice@192.0.2.9:5060>", 'sip:alice@192.0.2.9:5060;+x="a,b"'),
        (";rport", ";rport;"),
        (";tag=phone", ";tag=phone;"),
        ("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1;>;"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nno header at all\r\nBad Name: x\r\n: y"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nSupported: ,timer,,\r\nDate: yesterday\r\nCall-Info: <<"),
    ],
)
def test_headers_with_parts_that_nobody_uses_refuse_no_call(written: str, instead: str) -> None:
    bench = Bench()
    message = request("INVITE", body=SDP).decode()
    assert written in message
    assert codes(bench.receive(message.replace(written, instead).encode())) == [100]


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (";tag=phone", ';tag="a"b'),
        (";tag=phone", ";tag=a;tag=b"),
        (";tag=phone", ';tag="a'),
        ("branch=z9hG4bKb1", 'branch="z9hG4bKb1"x'),
        ("<sip:alice@192.0.2.9:5060>", "<sip:alice@192.0.2.9:5060"),
        ("<sip:alice@192.0.2.9:5060>", '<sip:alice@192.0.2.9:5060>;x="y'),
        ("<sip:alice@192.0.2.9:5060>", '<sip:alice@192.0.2.9:5060;transport="u"dp>'),
        ("<sip:alice@192.0.2.9:5060>", '<sip:"alice"@192.0.2.9:5060>'),
        ("<sip:alice@192.0.2.9:5060>", "<sip:a@x>, <sip:b@x>"),
        ("CSeq: 1 INVITE", "CSeq: x INVITE"),
    ],
)
def test_what_is_used_must_be_right(written: str, instead: str) -> None:
    bench = Bench()
    message = request("INVITE", body=SDP).decode()
    assert written in message
    bench.agent.receive(message.replace(written, instead).encode(), PHONE, bench.now)
    for sent in bench.agent.take_outbox():  # what was broken goes back broken, so it is not read
        assert sent.data.startswith(b"SIP/2.0 400 ")
    assert bench.calls == []


# ---------------------------------------------------------------------- a 200 that says nowhere to


@pytest.mark.parametrize(
    "header",
    [b"Contact: <sip:bob@", b"Contact: <mailto:bob@x>", b'Contact: <sip:bob@x>;x="', b"Contact: sip:@"],
)
def test_a_200_whose_contact_cannot_be_read_is_acknowledged_and_ended(header: bytes) -> None:
    """RFC 3261, 13.2.2.4: the phone is off the hook, and waits for both."""
    bench = Bench()
    call, leg, invite = bench.dialled_call()
    answer = response(invite, 200, tag="b", body=SDP).replace(b"Contact: <sip:bob@192.0.2.9:5060>", header)
    ack, bye = bench.receive(answer)
    assert isinstance(ack, SipRequest)
    assert isinstance(bye, SipRequest)
    assert (ack.method, ack.uri, ack.to.tag, ack.cseq.sequence) == ("ACK", invite.uri, "b", 1)
    assert (bye.method, bye.uri, bye.to.tag) == ("BYE", invite.uri, "b")
    assert leg.ending == (Ending.LOST, 502)
    assert call.ended
    assert codes(bench.receive(answer)) == ["ACK"]  # it is repeated until an ACK comes through


def test_a_200_whose_record_route_cannot_be_read_is_acknowledged_and_ended() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    answer = response(invite, 200, tag="b", body=SDP, Record_Route="<sip:")
    assert codes(bench.receive(answer)) == ["ACK", "BYE"]
    assert leg.ending == (Ending.LOST, 502)


def test_a_second_phone_whose_contact_cannot_be_read_is_ended_and_the_call_goes_on() -> None:
    bench = Bench()
    call, leg, invite = bench.dialled_call()
    assert codes(bench.receive(response(invite, 200, tag="b", body=SDP))) == ["ACK"]
    other = response(invite, 200, tag="c", body=SDP).replace(b"Contact: <sip:bob@", b"Contact: <sip:")
    assert codes(bench.receive(other.replace(b"192.0.2.9:5060>\r\n", b"@>\r\n"))) == ["ACK", "BYE"]
    assert leg.names[-1] == "answered"
    assert not call.ended


# ---------------------------------------------------------------------- of any shape

TEXT = st.text(st.characters(codec="utf-8", exclude_characters='\r\n"<>'), max_size=20)


def text_without(characters: str) -> st.SearchStrategy[str]:
    return TEXT.map(lambda text: "".join(c for c in text if c not in characters))


UNUSED_PARAMETER = st.one_of(
    st.just(""),
    st.builds(lambda name, value: f"x-{name}={value}", st.text("abc.+-", max_size=5), text_without(",;")),
    st.builds(lambda value: f'+x="{value}"', text_without("\\")),
    st.builds(lambda value: f'x="{value}"y', text_without("\\")),
)
PARAMETERS = st.lists(UNUSED_PARAMETER, max_size=5).map(lambda found: "".join(f";{one}" for one in found))
HEADER = st.builds(
    lambda name, value: f"{name}{value}",
    st.sampled_from(
        ["X-Own: ", "Date: ", "Warning: ", "Bad Name: ", "nothing ", ": ", "P-Odd:", "User-Agent:"]
    ),
    TEXT.map(lambda t: "".join(c for c in t if c.isprintable())),
).filter(lambda line: not line.startswith((" ", "\t")))
SDP_LINE = st.one_of(
    TEXT.filter(lambda t: t[1:2] != "="),
    st.builds(lambda key, value: f"{key}={value}", st.sampled_from("bikpezruoZ?1"), TEXT),
    st.sampled_from(
        ["a=rtcp:x", "a=rtpmap:99 x", "a=rtpmap:", "a=fmtp:0 ?", "a=ptime:x", "a=crypto:1", "a="]
    ),
)
SDP_LINES = st.lists(SDP_LINE, max_size=5).map(lambda found: "".join(f"{one}\r\n" for one in found))
OTHER_MEDIA = st.builds(
    lambda line, more: f"{line}\r\n{more}",
    st.sampled_from(
        [
            "m=video 9 RTP/AVP 31",
            "m=image 70000 udptl t38",
            "m=audio x RTP/AVP 0",
            "m=audio 9 RTP/SAVP 0",
            "m=x 1 y",
        ]
    ),
    SDP_LINES,
)


@given(st.data())
@settings(max_examples=CASES, deadline=None)
def test_what_is_not_used_never_refuses_a_call(data: st.DataObject) -> None:
    media = [
        f"m=audio 4000 RTP/AVP 0\r\n{data.draw(SDP_LINES)}",
        *data.draw(st.lists(OTHER_MEDIA, max_size=3)),
    ]
    sdp = "v=0\r\n" + data.draw(SDP_LINES) + "c=IN IP4 192.0.2.9\r\n" + data.draw(SDP_LINES)
    sdp += "".join(data.draw(st.permutations(media)))
    message = request("INVITE", body=sdp, headers=data.draw(st.lists(HEADER, max_size=4))).decode()
    contact = "<sip:alice@192.0.2.9:5060>"
    message = message.replace(f"Contact: {contact}", f"Contact: {contact}{data.draw(PARAMETERS)}")
    message = message.replace(";tag=phone", f";tag=phone{data.draw(PARAMETERS)}")
    message = message.replace(";rport", f";rport{data.draw(PARAMETERS)}")
    bench = Bench()
    assert codes(bench.receive(message.encode())) == [100]
    (call,), (leg,) = bench.calls, bench.legs
    assert call.offer is not None
    answer, agreed = leg.media.answer(call.offer)
    assert (agreed.host, agreed.port, len(answer.media)) == ("192.0.2.9", 4000, len(media))
    call.answer(answer, bench.now)
    (ok,) = bench.take()
    assert ok.from_.tag == "phone"
    ok.description()
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag))
    bye = request("BYE", branch="bye", cseq=2, to_tag=call.local_tag)
    assert codes(bench.receive(bye)) == [200]


@given(st.data())
@settings(max_examples=CASES, deadline=None)
def test_nothing_malformed_in_what_is_used_is_taken(data: st.DataObject) -> None:
    """One of the used values is replaced by something else; what is taken then is a value that reads so."""
    junk = data.draw(st.text(max_size=8).filter(lambda t: "\n" not in t and "\r" not in t))
    port, address, tag = "4000", "192.0.2.9", "phone"
    which = data.draw(st.sampled_from(["port", "address", "tag"]))
    if which == "port":
        port = junk
    elif which == "address":
        address = junk
    else:
        tag = junk
    sdp = f"v=0\r\nc=IN IP4 {address}\r\nm=audio {port} RTP/AVP 0\r\n"
    message = request("INVITE", body=sdp, from_tag=tag)
    bench = Bench(SipConfig(callers="anyone", default_agent="desk"))
    bench.agent.receive(message, PHONE, bench.now)
    for call, leg in zip(bench.calls, bench.legs, strict=True):
        assert call.offer is not None
        _, agreed = leg.media.answer(call.offer)
        assert agreed.port == int(port.split("/")[0])
        assert agreed.host in (address.split("/")[0].strip(), "")
        assert call.request.from_.tag in (tag.split(";")[0].strip(), tag.strip().strip('"'), "")
