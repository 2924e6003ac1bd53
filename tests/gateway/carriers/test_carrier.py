"""What a carrier's class reads out of a webhook."""

from __future__ import annotations

import json

import pytest

from piopiy_pipeline.gateway.access.access import AccessError, header_of
from piopiy_pipeline.gateway.carriers.kit import CarrierRequest, text_fields

CALL = {"type": "call.incoming", "time": 7, "call": {"uuid": "c", "from": 1555, "tags": ["a"]}}


def webhook(body: bytes) -> CarrierRequest:
    return CarrierRequest(
        "POST", "https://voice.example/", header_of([("Content-Type", "application/json")]), body
    )


def test_fields_of_json_are_the_outermost_and_what_is_nested_is_in_the_object() -> None:
    request = webhook(json.dumps(CALL).encode())
    assert request.fields == {"type": "call.incoming", "time": "7"}
    assert request.json_object == CALL
    assert text_fields(request.json_object.get("call")) == {"uuid": "c", "from": "1555"}


@pytest.mark.parametrize("odd", [None, "c", ["uuid"], 1])
def test_what_is_no_object_has_no_fields(odd: object) -> None:
    assert text_fields(odd) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"a":NaN}', b'{"a":1e999}', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(AccessError) as refused:
        _ = webhook(body).json_object
    assert refused.value.status == 422
