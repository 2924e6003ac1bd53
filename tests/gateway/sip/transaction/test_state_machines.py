"""The four state machines by themselves, where whole calls do not show them. Sections are RFC 3261's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse, parse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.transaction.state_machines import (
    ClientInvite,
    ClientRequest,
    ServerInvite,
    ServerRequest,
    TransactionStep,
)

UDP, TCP = Flow("udp", "192.0.2.9", 5060), Flow("tcp", "192.0.2.9", 5060)
INVITE = OutgoingRequest(
    method="INVITE",
    uri="sip:bob@192.0.2.9",
    flow=UDP,
    branch="z9hG4bKx",
    sent_by="192.0.2.1:5060",
    sequence=4,
    headers=(
        ("From", "<sip:a@b>;tag=1"),
        ("To", "<sip:bob@192.0.2.9>"),
        ("Call-ID", "c"),
        ("Route", "<sip:p;lr>"),
        ("X-A", "b"),
    ),
)
BYE = replace(INVITE, method="BYE")


def came(code: int, of: OutgoingRequest = INVITE) -> SipResponse:
    text = (
        f"SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP h;branch={of.branch}\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:bob@192.0.2.9>;tag=2\r\nCall-ID: c\r\nCSeq: 4 {of.method}\r\n\r\n"
    )
    response = parse(text.encode())
    assert isinstance(response, SipResponse)
    return response


def wakes(
    transaction: ClientInvite | ClientRequest | ServerInvite | ServerRequest, until: float
) -> list[float]:
    """When something is sent, up to `until`."""
    times = []
    while transaction.wake_at is not None and transaction.wake_at <= until:
        at = transaction.wake_at
        if transaction.wake(at).send is not None:
            times.append(at)
    return times


def test_a_request_of_ours_slows_down_once_it_is_being_worked_on() -> None:
    """17.1.2.2: timer E is T2 in Proceeding."""
    transaction = ClientRequest(BYE, 0.0)
    assert wakes(transaction, 1.0) == [0.5]
    transaction.receive(came(100, BYE), 1.0)
    assert wakes(transaction, 20.0) == [1.5, 5.5, 9.5, 13.5, 17.5]


def test_a_request_of_ours_takes_in_late_responses_for_t4() -> None:
    """17.1.2.2: timer K."""
    transaction = ClientRequest(BYE, 0.0)
    assert transaction.receive(came(200, BYE), 1.0).response is not None
    assert transaction.receive(came(200, BYE), 2.0) == TransactionStep()
    assert transaction.wake_at == 6.0
    transaction.wake(6.0)
    assert transaction.done


def test_over_a_connection_nothing_is_repeated_and_nothing_kept() -> None:
    """17.1.2.2, 17.1.1.2, 17.2.2: timers E, A and G are not set; K, D, I and J are zero."""
    request = ClientRequest(replace(BYE, flow=TCP), 0.0)
    assert wakes(request, 31.9) == []
    request.receive(came(200, BYE), 31.9)
    request.wake(31.9)
    invite = ClientInvite(replace(INVITE, flow=TCP), 0.0)
    assert wakes(invite, 31.9) == []
    invite.receive(came(486), 31.9)
    invite.wake(31.9)
    served = ServerRequest(reliable=True)
    served.respond(b"x", 200, 5.0)
    served.wake(5.0)
    offered = ServerInvite(reliable=True)
    offered.respond(b"x", 486, 5.0)
    assert wakes(offered, 36.9) == []
    assert offered.ack(36.9)
    offered.wake(36.9)
    assert request.done
    assert invite.done
    assert served.done
    assert offered.done


def test_a_request_of_others_is_answered_the_same_way_for_64_t1() -> None:
    """17.2.2: timer J."""
    transaction = ServerRequest(reliable=False)
    assert transaction.again() == TransactionStep()
    assert transaction.respond(b"first", 200, 1.0).send == b"first"
    assert transaction.respond(b"second", 500, 1.0) == TransactionStep()
    assert transaction.again().send == b"first"
    assert transaction.wake_at == 33.0
    transaction.wake(33.0)
    assert transaction.done


def test_an_invite_that_was_answered_only_takes_in_its_repetitions() -> None:
    """RFC 6026, 7.1: the 2xx is repeated by the call, not by the transaction."""
    transaction = ServerInvite(reliable=False)
    transaction.respond(b"ringing", 180, 0.0)
    assert transaction.again().send == b"ringing"
    transaction.respond(b"ok", 200, 1.0)
    assert transaction.again() == TransactionStep()
    assert not transaction.ack(2.0)
    assert wakes(transaction, 40.0) == []
    assert transaction.done


def test_a_refusal_that_nobody_acknowledges_times_out() -> None:
    """17.2.1: timer H."""
    transaction = ServerInvite(reliable=False)
    transaction.respond(b"busy", 486, 0.0)
    assert wakes(transaction, 31.9)[-1] == 31.5
    assert transaction.wake(32.0).timed_out
    assert transaction.done


def test_the_ack_of_a_refusal_belongs_to_the_invite() -> None:
    """17.1.1.3: same branch, Route and CSeq number; To of the response; nothing else of the INVITE."""
    ack = parse(INVITE.ack(came(486)))
    assert bytes(INVITE.ack(came(486))).startswith(b"ACK sip:bob@192.0.2.9 SIP/2.0\r\n")
    assert (ack.via.branch, str(ack.cseq), ack.to.tag, ack.get("Route")) == (
        "z9hG4bKx",
        "4 ACK",
        "2",
        "<sip:p;lr>",
    )
    assert (ack.get("X-A"), ack.get("Max-Forwards")) == ("", "70")


def test_a_cancel_belongs_to_the_invite_too() -> None:
    """9.1."""
    cancel = parse(bytes(INVITE.cancel()))
    assert (cancel.via.branch, str(cancel.cseq), cancel.to.tag) == ("z9hG4bKx", "4 CANCEL", "")
    assert cancel.body == b""


@pytest.mark.parametrize("code", [180, 486])
def test_a_late_provisional_response_changes_nothing(code: int) -> None:
    transaction = ClientInvite(INVITE, 0.0)
    transaction.receive(came(200), 1.0)
    assert transaction.receive(came(code), 2.0) == TransactionStep()
