"""Thousands of webhooks and openings that no carrier made: each is refused with a status, and nothing else."""

from __future__ import annotations

import base64
import json
import random

import pytest

from piopiy_pipeline.gateway.access.access import AccessError, header_of
from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
from piopiy_pipeline.gateway.carriers.config import CARRIERS, CarriersConfig
from tests.gateway.carriers.test_telnyx import PUBLIC_KEY
from tests.support.carriers import PUBLIC

REQUESTS_EACH = 1500
NESTED = base64.urlsafe_b64encode(b"[" * 9000).decode()
VALUES = [
    "",
    "x",
    "AAAA",
    "é",
    "Bearer ",
    f"Bearer {NESTED}.e30.x",
    "Bearer a.b.c",
    "Basic Og==",
    "-1",
    "9" * 5000,
]
VALUES += [
    "application/json",
    "application/x-www-form-urlencoded",
    base64.b64encode(bytes(64)).decode(),
    "nan",
]
HEADERS = [
    "authorization",
    "content-type",
    "x-twilio-signature",
    "telnyx-timestamp",
    "telnyx-signature-ed25519",
]
HEADERS += ["x-plivo-signature-v3", "x-plivo-signature-v3-nonce", "x-plivo-signature-ma-v3"]
BODIES = [
    b"",
    b"a=1&b=2",
    b"a=" * 300,
    b"&" * 300,
    b"\xff\xfe",
    b"[" * 9000,
    b"{}",
    json.dumps({"from": 1}).encode(),
]
QUERIES = [
    "",
    "?",
    "?key=",
    "?key=guess",
    "?key=k&key=guess",
    "?a=1&a=2",
    "?%ff=%00",
    "?" + "a&" * 300,
    "?x=é",
]


def a_desk() -> CarrierGateway:
    tables = {
        "twilio": {"auth_token": "t"},
        "telnyx": {"public_key": PUBLIC_KEY},
        "plivo": {"auth_token": "t"},
        "exotel": {"user": "u", "password": "p"},
        "vonage": {"signature_secret": "s"},
        "piopiy": {"answer_key": "k-e-y"},
    }
    config = CarriersConfig.model_validate({"public_url": PUBLIC, **tables})
    return CarrierGateway(config, agents=["desk"], token_secret=None, wall=lambda: 0.0, place=lambda *_: None)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_no_carrier_made_is_refused(carrier: str) -> None:
    randomness, desk, statuses = random.Random(carrier), a_desk(), set()
    for _ in range(REQUESTS_EACH):
        count = randomness.randrange(5)
        header = header_of([(randomness.choice(HEADERS), randomness.choice(VALUES)) for _ in range(count)])
        target = f"/carrier/{carrier}/desk/answer{randomness.choice(QUERIES)}"
        method = randomness.choice(["GET", "POST"])
        with pytest.raises(AccessError) as refused:
            desk.answer(carrier, "desk", method, target, header, randomness.choice(BODIES))
        assert refused.value.status in (401, 403, 422)
        statuses.add(refused.value.status)
        ticket = randomness.choice(["x", "a.b.c", f"{NESTED}.e30.x", "é"])
        names = [carrier, "desk", ticket][: randomness.choice([1, 2, 3])]
        with pytest.raises(AccessError) as refused:
            desk.admit(names, f"/carrier/{carrier}/desk{randomness.choice(QUERIES)}", header)
        assert refused.value.status in (401, 403, 404, 422)
    assert 403 in statuses, f"none had what {carrier} signs its requests with: add its header to HEADERS"
