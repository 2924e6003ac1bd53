"""What an offer says about its call. The messages themselves are tested with the protocols that use them."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.signaling.messages import Offer, ProtocolError, parse_agent_message


def offer(metadata: Any) -> Offer:
    return Offer(
        call_id="c1",
        offer_id="o1",
        agent_id="desk",
        from_number="+1",
        to_number="+2",
        metadata=metadata,
        kind="phone",
        caller_rate=8000,
        deadline_ms=400,
        setup_s=10,
        media_path="/media/c1",
        media_token="secret",
    )


def test_an_offer_says_who_calls_whom() -> None:
    assert offer({"k": 1}).info() == CallInfo("desk", "c1", "+1", "+2", {"k": 1}, "phone")


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (None, None),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("", None),
        ("null", None),
        ("[1]", {"value": [1]}),
        ("plain text", {"value": "plain text"}),
    ],
)
def test_metadata_is_a_dict_or_none(given: Any, parsed: Any) -> None:
    assert offer(given).info().metadata == parsed


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "register", "token": "s3cret", "agent_id": 7}',
        '{"type": "register", "agent_id": 7, "token": "s3\\"cret"}',
        '{"type": "register", "agent_id": 7, "token": "s3cret' + "x" * 1000,
    ],
)
def test_a_message_that_cannot_be_read_is_quoted_without_its_secrets(text: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_agent_message(text)
    assert "s3" not in str(refused.value)
    assert "cret" not in str(refused.value)
    assert '"register"' in str(refused.value), "the rest helps to find it"
