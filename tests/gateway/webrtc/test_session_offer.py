"""What is used of a browser's offer, and what is not: for offers of any shape.

`PROPERTY_CASES=10000` tries so many of them.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.webrtc.session_offer import OfferError, SessionOffer, parse_candidate

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
FINGERPRINT = "sha-256 " + ":".join(["0A"] * 32)
TRANSPORT = f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\na=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n"
CANDIDATE = "candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host"
HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def audio(mid: str = "0", *, port: int = 9, more: str = "", transport: str = TRANSPORT) -> str:
    return (
        f"m=audio {port} UDP/TLS/RTP/SAVPF 63 111 0\r\na=mid:{mid}\r\na=rtpmap:63 red/48000/2\r\n"
        f"a=rtpmap:111 opus/48000/2\r\n{more}{transport}"
    )


def video(mid: str = "1", *, port: int = 9, transport: str = TRANSPORT) -> str:
    return f"m=video {port} UDP/TLS/RTP/SAVPF 96 97\r\na=mid:{mid}\r\na=rtpmap:96 AV1/90000\r\n{transport}"


def data(mid: str = "2", *, transport: str = TRANSPORT) -> str:
    return (
        f"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:{mid}\r\na=sctp-port:5000\r\n{transport}"
    )


def bundle(*media: str) -> str:
    mids = " ".join(re.findall(r"a=mid:(\S+)", "".join(media)))
    return f"{HEAD}a=group:BUNDLE {mids}\r\n{''.join(media)}"


def answered(offer: SessionOffer) -> str:
    """The answer, with what aiortc answers to the part that it gets, written by hand."""
    theirs = offer.for_aiortc()
    own = theirs.replace("m=audio 9", "m=audio 7000").replace("pppp", "qqqq")
    return offer.answer(own.replace("a=setup:actpass", "a=setup:active"))


def media_of(sdp: str) -> list[list[str]]:
    return [line[2:].split() for line in sdp.splitlines() if line.startswith("m=")]


# ---------------------------------------------------------------------- by hand


def test_audio_that_shares_the_port_of_video_gets_the_transport_of_that() -> None:
    others = TRANSPORT.replace("abcd", "efgh")
    sdp = bundle(
        video(transport=f"{others}a={CANDIDATE}\r\n"), audio(port=0, more="a=bundle-only\r\n", transport="")
    )
    offer = SessionOffer(sdp)
    assert offer.fragment == "efgh"
    assert [one.text for one in offer.candidates] == [CANDIDATE.removeprefix("candidate:")]
    assert offer.is_for_us("1", 0)
    assert not offer.is_for_us("0", 1)
    assert offer.is_for_us("never-heard-of", 9)
    answer = answered(offer)
    assert [media[:2] for media in media_of(answer)] == [["video", "7000"], ["audio", "7000"]]
    assert "a=group:BUNDLE 1 0\r\n" in answer
    first = answer.split("m=audio")[0]
    assert "a=ice-pwd:qqqq" in first
    assert "m=video 7000 UDP/TLS/RTP/SAVPF 96\r\n" in first
    assert "a=rtpmap:96 AV1/90000\r\n" in first


def test_without_a_bundle_the_audio_is_answered_and_all_else_is_rejected() -> None:
    offer = SessionOffer(HEAD + video() + audio() + data())
    answer = answered(offer)
    assert [media[1] for media in media_of(answer)] == ["0", "7000", "0"]
    assert "a=group" not in answer


def test_media_without_names_are_answered_without_names() -> None:
    answer = answered(SessionOffer(HEAD + audio().replace("a=mid:0\r\n", "")))
    assert "a=mid" not in answer


def test_what_is_said_once_for_the_session_is_taken_from_there() -> None:
    offer = SessionOffer(HEAD + TRANSPORT + "a=recvonly\r\n" + audio(transport=""))
    assert offer.fragment == "abcd"
    assert "a=recvonly" in offer.for_aiortc()


def test_an_audio_line_that_cannot_be_used_is_no_reason_to_refuse_the_next() -> None:
    wrong = audio("9").replace("opus/48000/2", "opus/16000")
    offer = SessionOffer(bundle(wrong, audio()))
    assert [media[1] for media in media_of(answered(offer))] == ["7000", "7000"]
    assert not SessionOffer(bundle(audio(), wrong)).is_same_audio(offer)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("a=ice-ufrag:abcd", "a=ice-ufrag:a b"), "ICE user name"),
        (("a=ice-pwd:p", "a=ice-pwd:\x01"), "ICE user name"),
        (("a=ice-pwd:p", "a=ice-pwd:short\r\na=ice-pwd:p"), "twice"),
        (("0A:0A", "0A:0G"), "fingerprint"),
        (("sha-256", "md5"), "no DTLS fingerprint"),
        (("actpass", "nobody"), "a=setup"),
        (("UDP/TLS/RTP/SAVPF 63 111 0", "UDP/TLS/RTP/SAVPF"), "cannot be read"),
        (("m=audio 9", "m=audio 99999"), "cannot be read"),
        (("111", "311"), "payload type"),
        (("a=mid:0", "a=mid:0\r\na=sendonly\r\na=recvonly"), "two directions"),
        (("a=sctp-port:5000", "a=sctp-port:none"), "data channel"),
        (("a=sctp-port:5000", "a=sctp-port:5000\r\na=max-message-size:-1"), "max-message-size"),
        (("a=mid:2", "a=mid:0"), "two media lines"),
    ],
)
def test_what_is_used_and_wrong_is_refused_with_a_sentence(change: tuple[str, str], part: str) -> None:
    sdp = bundle(audio(), data()).replace(*change)
    with pytest.raises(OfferError, match=part):
        SessionOffer(sdp)


@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "candidate:1 2 udp 1 192.0.2.1 4000 typ host",
        "candidate:1 1 udp 1 phone.example 4000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "candidate:1 1 udp one 192.0.2.1 4000 typ host",
        "candidate:1 1 udp 1 fe80::1%eth0 4000 typ host",
        "candidate:1 1 udp 1 192.0.2.1",
        "end-of-candidates",
        "",
    ],
)
def test_candidates_that_are_no_use_are_ignored(text: str) -> None:
    assert parse_candidate(text) is None


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_a_candidate_is_taken_however_it_is_written(prefix: str) -> None:
    found = parse_candidate(f"{prefix}1 1 UDP 5 2001:db8::1 4000 typ srflx raddr 10.0.0.1 rport 9 ufrag x")
    assert found is not None
    assert (found.text, found.is_name) == ("1 1 udp 5 2001:db8::1 4000 typ srflx", False)


# ---------------------------------------------------------------------- of any shape

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)
USED = "mid|ice-ufrag|ice-pwd|fingerprint|setup|group|candidate|rtpmap|bundle-only|ice-lite|sctp-port|max-message-size"
UNUSED_LINE = (
    st.one_of(
        st.builds(lambda key, rest: f"a={key}:{rest}", st.text("abcxyz-", min_size=1), WORDS),
        st.sampled_from(
            [
                *(
                    "a=extmap:x",
                    "a=ssrc:?",
                    "a=msid:",
                    "a=rtcp:",
                    "a=fmtp:111",
                    "a=rtcp-fb:* nack",
                    "a=crypto",
                ),
                *(
                    "c=IN IP9 nowhere",
                    "b=AS:lots",
                    "i=\x00",
                    "k=clear:",
                    "a=simulcast",
                    "a=rtcp:9 IN IP4 x.local",
                ),
                *(
                    "a=ssrc-group:FID 1 x",
                    "a=rid:1 send",
                    "a=sctpmap:x",
                    "a=ice-options:trickle renomination",
                ),
                *("a=end-of-candidates", "a=candidate:", "a=fmtp:x y", "a=identity", "a=tls-id:1", "a="),
            ]
        ),
        st.builds(lambda key, rest: f"{key}={rest}", st.sampled_from("abcikprzABC?"), WORDS),
    )
    .map(lambda line: f"{line}\r\n")
    .filter(lambda line: not re.match(rf"a=\s*({USED}|sendrecv|sendonly|recvonly|inactive)\b", line))
    .filter(lambda line: not line.startswith("m="))
)
UNUSED_LINES = st.lists(UNUSED_LINE, max_size=6).map("".join)
OTHER_MEDIA = st.builds(
    lambda kind, port, rest: f"m={kind} {port} {rest}\r\n",
    st.sampled_from(["video", "text", "image", "message", "x-unknown"]),
    st.sampled_from([0, 9, 4000]),
    st.sampled_from(["UDP/TLS/RTP/SAVPF 96", "TCP/MSRP *", "udptl t38", "RTP/AVP 31 32", "a/b/c 1000 none"]),
)


@st.composite
def offers(draw: st.DrawFn) -> str:
    """An offer whose used part is right, and in which all else is whatever it is."""
    used = [audio("used", more=draw(UNUSED_LINES)) + draw(UNUSED_LINES)]
    if draw(st.booleans()):
        used.append(data("channel") + draw(UNUSED_LINES))
    rest = []
    for number in range(draw(st.integers(0, 4))):
        own = draw(st.sampled_from(["", TRANSPORT, "a=ice-ufrag:?\r\na=setup:?\r\n"]))
        mid = draw(st.sampled_from(["", f"a=mid:m{number}\r\n"]))
        rest.append(draw(OTHER_MEDIA) + mid + own + draw(UNUSED_LINES))
    media = draw(st.permutations(used + rest))
    mids = ["used", *(mid for mid in ("channel",) if len(used) > 1)]
    # A line of the bundle that comes first carries the transport, so it is used: those behind it are not.
    mids += [f"m{number}" for number in range(4) if draw(st.booleans())]
    sdp = (
        HEAD
        + draw(UNUSED_LINES)
        + f"a=group:BUNDLE {' '.join(mids)}\r\n"
        + draw(UNUSED_LINES)
        + "".join(media)
    )
    return draw(st.sampled_from([sdp, sdp.replace("\r\n", "\n")]))


@given(offers())
@settings(max_examples=CASES, deadline=None)
def test_what_is_not_used_never_refuses_an_offer(sdp: str) -> None:
    offer = SessionOffer(sdp)
    SessionDescription.parse(offer.for_aiortc())
    answer = answered(offer)
    assert [media[0] for media in media_of(answer)] == [media[0] for media in media_of(sdp)]
    assert [media[2] for media in media_of(answer)] == [media[2] for media in media_of(sdp)]
    in_bundle = re.findall(r"^a=group:BUNDLE (.*?)\r?$", answer, re.MULTILINE)[0].split()
    assert in_bundle[0] == "used"
    sections = re.split(r"^(?=m=)", answer, flags=re.MULTILINE)[1:]
    accepted = [one for one in sections if one.split()[1] != "0"]
    assert sorted(in_bundle) == sorted(re.findall(r"^a=mid:(\S+)", "".join(accepted), re.MULTILINE))


def plain(sdp: str) -> dict[str, Any]:
    """What the standards say of the used part, read with expressions alone. Raises if that is malformed."""
    _, *sections = re.split(r"^(?=m=)", sdp.replace("\r\n", "\n"), flags=re.MULTILINE)
    [section] = [one for one in sections if one.startswith("m=audio")]

    def one(name: str, value: str) -> str:
        found: set[str] = set(re.findall(rf"^a={name}:(.*)$", section, re.MULTILINE))
        assert len(found) == 1
        (text,) = found
        assert re.fullmatch(value, text.strip())
        return text.strip()

    return {
        "user": one("ice-ufrag", "[A-Za-z0-9+/]{4,256}"),
        "password": one("ice-pwd", "[A-Za-z0-9+/]{22,256}"),
        "fingerprint": one("fingerprint", "sha-256 +([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}"),
        "setup": one("setup", "actpass|active|passive") if "\na=setup:" in section else "actpass",
    }


@given(st.data())
@settings(max_examples=CASES, deadline=None)
def test_nothing_that_is_used_is_taken_when_it_is_malformed(draw: st.DataObject) -> None:
    sdp = bundle(audio())
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(len(HEAD), len(sdp)))
        gone = draw.draw(st.integers(0, 3))
        sdp = sdp[:at] + draw.draw(st.text(max_size=3)) + sdp[at + gone :]
    try:
        offer = SessionOffer(sdp)
    except OfferError:
        return  # a sentence, and nothing else
    SessionDescription.parse(offer.for_aiortc())
    expected = plain(sdp) if sdp.count("m=audio") == 1 and "group:BUNDLE 0\r\n" in sdp else None
    if expected is not None:
        assert offer.fragment == expected["user"]
        assert f"a=ice-pwd:{expected['password']}\r\n" in offer.for_aiortc()
