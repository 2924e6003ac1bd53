"""Offers and answers. Sections are RFC 3264's."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.sdp.negotiation import (
    CodecName,
    Negotiation,
    SdpError,
    SdpRefused,
    SessionDescription,
)

HEAD = "v=0\r\no=- 5 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
ALL: list[CodecName] = ["PCMU", "PCMA", "G722", "opus"]


def described(*lines: str, head: str = HEAD) -> SessionDescription:
    return SessionDescription.parse((head + "".join(f"{line}\r\n" for line in lines)).encode())


def ours(codecs: list[CodecName] | None = None) -> Negotiation:
    return Negotiation(host="192.0.2.1", port=30_000, codecs=codecs or ALL, session_id=7)


def test_an_answer_takes_the_first_codec_of_the_offer_that_is_allowed() -> None:
    """6.1: in the offerer's order."""
    offer = described(
        "m=audio 4000 RTP/AVP 18 8 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16"
    )
    answer, agreed = ours().answer(offer)
    text = bytes(answer).decode()
    assert "m=audio 30000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n" in text
    assert "c=IN IP4 192.0.2.1\r\n" in text
    assert (agreed.codec.name, agreed.host, agreed.port, agreed.rtcp_port) == (
        "PCMA",
        "192.0.2.9",
        4000,
        4001,
    )
    assert agreed.events_out is not None
    assert (agreed.events_out.payload_type, agreed.sends, agreed.receives) == (101, True, True)
    assert SessionDescription.parse(bytes(answer)).audio == answer.audio or answer.audio is not None


def test_dynamic_payload_types_are_the_offerers() -> None:
    offer = described(
        "m=audio 4000 RTP/AVP 111 126 127",
        "a=rtpmap:111 OPUS/48000/2",
        "a=fmtp:111 minptime=10",
        "a=rtpmap:126 telephone-event/8000",
        "a=rtpmap:127 telephone-event/48000",
    )
    _, agreed = ours().answer(offer)
    assert (agreed.codec.name, agreed.codec.payload_type) == ("opus", 111)
    assert agreed.events_out is not None
    assert agreed.events_out.payload_type == 127  # the keys run on the clock of the voice


@pytest.mark.parametrize(
    ("codec", "rate"), [("opus/48000/2", 8000), ("opus/48000/2", 16_000), ("PCMU/8000", 48_000)]
)
def test_keys_on_another_clock_than_the_voice_are_better_than_none(codec: str, rate: int) -> None:
    """Polycom, baresip and Asterisk have `telephone-event/8000` only, also beside Opus."""
    theirs = described(
        "m=audio 4000 RTP/AVP 111 101",
        f"a=rtpmap:111 {codec}",
        f"a=rtpmap:101 telephone-event/{rate}",
        "a=fmtp:101 0-16",
    )
    answer, agreed = ours().answer(theirs)
    assert f"a=rtpmap:101 telephone-event/{rate}\r\n" in bytes(answer).decode()
    assert agreed.events_out is not None
    assert (agreed.events_out.payload_type, agreed.events_out.rate) == (101, rate)
    assert [format.payload_type for format in agreed.events_in] == [101]
    call = ours()
    call.offer()
    agreed = call.accept(theirs)
    assert agreed.events_out is not None
    assert (agreed.events_out.payload_type, agreed.events_out.rate) == (101, rate)
    assert [format.payload_type for format in agreed.events_in] == [
        101,
        102,
    ]  # with either number of our offer


def test_what_is_not_wanted_is_refused_in_its_place() -> None:
    """6."""
    offer = described("m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0", "m=application 6000 UDP/BFCP *")
    text = bytes(ours().answer(offer)[0]).decode()
    assert [line for line in text.split("\r\n") if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 96",
        "m=audio 30000 RTP/AVP 0",
        "m=application 0 UDP/BFCP *",
    ]


@pytest.mark.parametrize(
    ("offered", "answered", "sends", "receives"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", False, True),
        ("recvonly", "sendonly", True, False),
        ("inactive", "inactive", False, False),
    ],
)
def test_directions_are_answered_in_kind(offered: str, answered: str, sends: bool, receives: bool) -> None:
    """6.1, 8.4."""
    answer, agreed = ours().answer(described("m=audio 4000 RTP/AVP 0", f"a={offered}"))
    assert f"a={answered}\r\n" in bytes(answer).decode()
    assert (agreed.sends, agreed.receives) == (sends, receives)


def test_a_direction_of_the_session_holds_for_its_streams() -> None:
    offer = described("a=sendonly", "m=audio 4000 RTP/AVP 0")
    assert not ours().answer(offer)[1].sends


def test_the_hold_of_old_is_understood() -> None:
    """8.4: c=0.0.0.0."""
    offer = described("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0")
    answer, agreed = ours().answer(offer)
    assert "a=recvonly" in bytes(answer).decode()
    assert (agreed.sends, agreed.host) == (False, "")


def test_the_version_grows_with_changes_only() -> None:
    """8."""
    call = ours()
    active = described("m=audio 4000 RTP/AVP 0")
    versions = [call.answer(offer)[0].version for offer in (active, active)]
    versions.append(call.answer(described("m=audio 4000 RTP/AVP 0", "a=sendonly"))[0].version)
    versions.append(call.answer(active)[0].version)
    assert versions == [1, 1, 2, 3]


def test_a_stream_that_is_taken_back_later_flows_no_more() -> None:
    call = ours()
    call.answer(described("m=audio 4000 RTP/AVP 0"))
    answer, agreed = call.answer(described("m=audio 0 RTP/AVP 0"))
    assert answer.audio is not None
    assert (answer.audio.port, agreed.sends, agreed.receives) == (0, False, False)


def test_our_offer_names_all_codecs_and_keys() -> None:
    text = bytes(ours().offer()).decode()
    assert "m=audio 30000 RTP/AVP 0 8 9 96 101 102\r\n" in text
    assert "a=rtpmap:9 G722/8000\r\n" in text  # RFC 3551, 4.5.2: for historical reasons
    assert "a=rtpmap:96 opus/48000/2\r\n" in text


def test_an_answer_may_number_its_payload_types_anew() -> None:
    """5.1: each side sends with the other's numbers."""
    call = ours()
    call.offer()
    agreed = call.accept(described("m=audio 4000 RTP/AVP 120 0", "a=rtpmap:120 opus/48000/2"))
    assert (agreed.codec.name, agreed.codec.payload_type) == ("opus", 120)
    assert {(f.name, f.payload_type) for f in agreed.receive} == {("opus", 96), ("PCMU", 0)}


def test_rtcp_goes_where_it_is_said_to() -> None:
    _, agreed = ours().answer(described("m=audio 4000 RTP/AVP 0", "a=rtcp:4321 IN IP4 192.0.2.9"))
    assert (agreed.rtcp_port, agreed.rtcp_mux) == (4321, False)
    answer, agreed = ours().answer(described("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
    assert (agreed.rtcp_port, agreed.rtcp_mux) == (4000, True)
    assert "a=rtcp-mux" in bytes(answer).decode()


def test_ipv6_addresses_stay_what_they_are() -> None:
    offer = described("m=audio 4000 RTP/AVP 0", head=HEAD.replace("IP4 192.0.2.9", "IP6 2001:db8::9"))
    call = Negotiation(host="2001:db8::1", port=30_000, codecs=ALL, session_id=7)
    answer, agreed = call.answer(offer)
    assert agreed.host == "2001:db8::9"
    assert "c=IN IP6 2001:db8::1\r\n" in bytes(answer).decode()


@pytest.mark.parametrize(
    "lines",
    [
        ["m=audio 4000 RTP/SAVP 0"],
        ["m=video 4000 RTP/AVP 0"],
        ["m=audio 4000 RTP/AVP 18"],
        ["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 opus/16000"],
        ["m=audio 0 RTP/AVP 0"],
        [],
    ],
)
def test_offers_that_cannot_be_met_are_refused(lines: list[str]) -> None:
    with pytest.raises(SdpRefused):
        ours().answer(described(*lines))


def test_answers_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(SdpRefused, match="nothing was offered"):
        ours().accept(described("m=audio 4000 RTP/AVP 0"))
    call = ours(["PCMU"])
    call.offer()
    for line in ("m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/AVP 8"):
        with pytest.raises(SdpRefused):
            call.accept(described(line))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=1\r\n",
        HEAD + "m=audio\r\n",
        HEAD + "m=audio x RTP/AVP 0\r\n",
        HEAD + "m=audio 70000 RTP/AVP 0\r\n",
        HEAD.replace("c=IN IP4 192.0.2.9", "c=IN") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD.replace("c=IN IP4 192.0.2.9\r\n", "") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\n" * 20,
        HEAD + "a=x\r\n" * 500,
        HEAD + "x" * 20_000,
    ],
)
def test_what_is_no_description_is_an_error_that_says_what_is_wrong(text: str) -> None:
    with pytest.raises(SdpError, match=r"\w+"):
        SessionDescription.parse(text.encode())


@pytest.mark.parametrize(
    "line",
    [
        "m=audio 4000 RTP/AVP 300",
        "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus",
        "m=audio 4000 RTP/AVP 96\r\na=rtpmap:x opus/48000",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU",
        "m=audio 4000 RTP/AVP",
    ],
)
def test_a_codec_that_cannot_be_read_is_not_there(line: str) -> None:
    with pytest.raises(SdpRefused):
        ours(["PCMU", "opus"]).answer(described(line))
