"""Client tokens: what they bind, and what is none."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.access.client_tokens import (
    METADATA_LIMIT,
    ClientTokens,
    TokenClaims,
    TokenRequest,
)

NOON = 1_800_000_000.0
RECORDED = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJhdWQiOiJwaW9waXktY2FsbCIsImlhdCI6MTgwMDAwMDAwMCwiZXhwIjoxODAwMDAwMDYwLCJqdGkiOiIyNTA0OGZiOC1kMzY0LTQy"
    "NTEtOWUzYS1kOTczNmQ1NzlmY2EiLCJzdWIiOiIrMTU1NTAxMDAiLCJhZ2VudCI6InNhbGVzIiwidG8iOiIrMTU1NTAxOTkiLCJtZXRh"
    "ZGF0YSI6eyJjYXJ0IjpbMV0sIm5hbWUiOiJab1x1MDBlYiJ9fQ."
    "eT_qHBeQVrGSNKdDdr2tneC1_Vn0-hX9FBFMnrTf37k"
)
"""A token that version 0.1.0 signed with the secret "a shared secret"."""


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


def tokens(secret: str | None = "a shared secret", clock: Clock | None = None) -> ClientTokens:
    return ClientTokens(secret, ["front-desk", "sales"], wall=clock or Clock())


def granted(of: ClientTokens, **wish: Any) -> str:
    return of.grant(TokenRequest(**{"agent_id": "front-desk", **wish})).token


def refusal(of: ClientTokens, token: str | None, **how: Any) -> tuple[int, str]:
    with pytest.raises(AccessError) as refused:
        of.verify(token, **how)
    return refused.value.status, refused.value.text


def test_a_token_brings_back_what_it_binds() -> None:
    own = tokens()
    grant = own.grant(
        TokenRequest(
            agent_id="sales", identity="+15550100", to_number="+15550199", metadata={"cart": [1]}, ttl_s=60
        )
    )
    assert grant.expires_at.timestamp() == NOON + 60
    claims = own.verify(grant.token, agent_id="sales")
    assert claims == TokenClaims(
        audience="piopiy-call",
        issued_at=int(NOON),
        expires_at=int(NOON) + 60,
        token_id=claims.token_id,
        identity="+15550100",
        agent_id="sales",
        to_number="+15550199",
        metadata={"cart": [1]},
    )
    assert own.verify(granted(own)).identity == "browser"
    assert own.verify(granted(own)).token_id != own.verify(granted(own)).token_id


def test_a_token_that_an_earlier_version_signed_is_still_good() -> None:
    claims = tokens().verify(RECORDED)
    assert claims.model_dump(by_alias=True) == {
        "aud": "piopiy-call",
        "iat": NOON,
        "exp": NOON + 60,
        "jti": "25048fb8-d364-4251-9e3a-d9736d579fca",
        "sub": "+15550100",
        "agent": "sales",
        "to": "+15550199",
        "metadata": {"cart": [1], "name": "Zoë"},
    }


def test_a_token_has_the_claims_that_earlier_versions_read() -> None:
    claims = jwt.decode(granted(tokens(), ttl_s=60), options={"verify_signature": False})
    assert list(claims) == ["aud", "iat", "exp", "jti", "sub", "agent", "to", "metadata"]
    assert (claims["aud"], claims["iat"], claims["exp"]) == ("piopiy-call", NOON, NOON + 60)
    assert (claims["sub"], claims["agent"], claims["to"]) == ("browser", "front-desk", None)


def test_a_token_is_fresh_until_its_expiry() -> None:
    clock = Clock()
    own = tokens(clock=clock)
    claims = own.verify(granted(own, ttl_s=60))
    clock.now = NOON + 59.9
    own.check_fresh(claims)
    clock.now = NOON + 60
    with pytest.raises(AccessError, match="expired: ask for a new one"):
        own.check_fresh(claims)


def test_a_token_of_another_agent_is_refused_with_both_names() -> None:
    own = tokens()
    status, text = refusal(own, granted(own), agent_id="sales")
    assert status == 403
    assert "'front-desk', not for 'sales'" in text


def test_a_token_of_an_agent_that_is_gone_is_refused() -> None:
    before = ClientTokens("s", ["gone"], wall=Clock())
    after = ClientTokens("s", ["front-desk"], wall=Clock())
    assert refusal(after, before.grant(TokenRequest(agent_id="gone")).token)[0] == 403


def test_gateways_of_one_secret_know_each_others_tokens_and_others_do_not() -> None:
    token = granted(tokens())
    assert tokens().verify(token).agent_id == "front-desk"
    for other in (tokens("another secret"), tokens(None)):
        assert refusal(other, token)[0] == 401
    assert refusal(tokens(None), granted(tokens(None)))[0] == 401, "each start has a secret of its own"


def test_what_was_changed_or_signed_otherwise_is_no_token() -> None:
    own = tokens()
    token = granted(own)
    head, body, signature = token.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    richer = (
        base64.urlsafe_b64encode(json.dumps({**payload, "agent": "sales"}).encode()).rstrip(b"=").decode()
    )
    forged = [
        f"{head}.{richer}.{signature}",
        token[:-2],
        jwt.encode(payload, "", algorithm="none"),
        jwt.encode(payload, "a shared secret of which somebody thinks", algorithm="HS256"),
        "a.b.c",
        "rubbish",
    ]
    for one in forged:
        status, text = refusal(own, one)
        assert status == 401
        assert "signed by somebody else" in text
    assert refusal(own, None) == (
        401,
        "send 'Authorization: Bearer <client token>': POST /api/tokens makes one",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "other"},
        {"agent": 7},
        {"agent_id": "sales"},
        {"sub": None},
        {"extra": 1},
        {"metadata": "text"},
        {"exp": "soon"},
    ],
)
def test_a_payload_that_is_not_ours_is_no_token_even_if_the_signature_is(change: dict[str, Any]) -> None:
    own = tokens()
    payload = jwt.decode(granted(own), options={"verify_signature": False})
    assert refusal(own, jwt.encode({**payload, **change}, own._key, algorithm="HS256"))[0] == 401


@pytest.mark.parametrize("metadata", [{"half": "\ud800"}, {"none": float("nan")}])
def test_metadata_that_cannot_be_passed_on_makes_no_token(metadata: dict[str, Any]) -> None:
    own = tokens()
    payload = jwt.decode(granted(own), options={"verify_signature": False})
    signed = jwt.encode({**payload, "metadata": metadata}, own._key, algorithm="HS256")
    assert refusal(own, signed)[0] == 401


@pytest.mark.parametrize("missing", ["aud", "exp", "iat", "jti", "sub", "agent"])
def test_a_payload_that_lacks_something_is_no_token(missing: str) -> None:
    own = tokens()
    payload = jwt.decode(granted(own), options={"verify_signature": False})
    del payload[missing]
    assert refusal(own, jwt.encode(payload, own._key, algorithm="HS256"))[0] == 401


def test_nothing_is_granted_for_an_unknown_agent_or_with_too_much_metadata() -> None:
    with pytest.raises(AccessError, match="no agent 'nobody'") as refused:
        tokens().grant(TokenRequest(agent_id="nobody"))
    assert refused.value.status == 404
    with pytest.raises(AccessError, match=f"at most {METADATA_LIMIT} bytes") as refused:
        tokens().grant(TokenRequest(agent_id="sales", metadata={"essay": "x" * METADATA_LIMIT}))
    assert refused.value.status == 422


def test_a_payload_with_our_own_names_for_the_claims_is_no_token() -> None:
    own = tokens()
    claims = own.verify(granted(own)).model_dump()
    assert refusal(own, jwt.encode(claims, own._key, algorithm="HS256"))[0] == 401
