"""Tickets: what they bind, and what is none."""

from __future__ import annotations

import jwt
import pytest

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.carrier import CarrierCall
from piopiy_pipeline.gateway.carriers.tickets import AUDIENCE, TTL_S, ReplayGuard, Tickets

NOON = 1_800_000_000.0
CALL = CarrierCall("CA1", "+15550100", "+15550199")


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


def refusal(tickets: Tickets, token: str, *, carrier: str = "twilio", agent: str = "desk") -> int:
    with pytest.raises(AccessError) as refused:
        tickets.take(token, carrier=carrier, agent=agent)
    return refused.value.status


def test_a_ticket_says_once_who_calls() -> None:
    tickets = Tickets("secret", wall=Clock())
    token = tickets.mint("twilio", "desk", CALL, {"tier": "gold"})
    ticket = tickets.take(token, carrier="twilio", agent="desk")
    assert (ticket.call, ticket.parameters) == (CALL, {"tier": "gold"})
    assert refusal(tickets, token) == 401


def test_a_ticket_of_another_carrier_agent_or_gateway_is_none_and_is_not_used_up_by_trying() -> None:
    tickets = Tickets("secret", wall=Clock())
    token = tickets.mint("twilio", "desk", CALL, {})
    assert refusal(tickets, token, carrier="plivo") == 403
    assert refusal(tickets, token, agent="sales") == 403
    assert refusal(Tickets("another", wall=Clock()), token) == 401
    assert refusal(Tickets(None, wall=Clock()), token) == 401
    header, payload, signature = token.split(".")
    assert refusal(tickets, f"{header}.{payload}.{signature[::-1]}") == 401
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", algorithm="none")
    assert refusal(tickets, unsigned) == 401
    assert tickets.take(token, carrier="twilio", agent="desk").agent == "desk"


def test_a_ticket_is_good_for_two_minutes() -> None:
    clock = Clock()
    tickets = Tickets("secret", wall=clock)
    first, second = (tickets.mint("twilio", "desk", CALL, {}) for _ in range(2))
    clock.now = NOON + TTL_S - 1
    tickets.take(first, carrier="twilio", agent="desk")
    clock.now = NOON + TTL_S
    assert refusal(tickets, second) == 401
    assert refusal(tickets, first) == 401


def test_a_clients_token_of_the_same_secret_is_no_ticket() -> None:
    claims = {
        "aud": AUDIENCE,
        "exp": NOON + 60,
        "iat": NOON,
        "jti": "1",
        "carrier": "twilio",
        "agent": "desk",
    }
    token = jwt.encode(claims, b"secret".ljust(32, b"\0"), algorithm="HS256")
    assert refusal(Tickets("secret", wall=Clock()), token) == 401


def test_more_parameters_than_an_address_can_carry_are_refused() -> None:
    with pytest.raises(AccessError, match="1024 bytes"):
        Tickets(None, wall=Clock()).mint("twilio", "desk", CALL, {"note": "x" * 1100})


def test_what_is_remembered_is_bounded() -> None:
    once = ReplayGuard(limit=3)
    assert [once.take(name, until=10, now=0) for name in "aabc"] == [True, False, True, True]
    assert not once.take("d", until=20, now=0), "no room: refused, and nobody is forgotten"
    assert once.take("d", until=20, now=10), "those whose time is over make room"
    assert once.take("a", until=30, now=10)
    assert not once.take("d", until=30, now=10)
