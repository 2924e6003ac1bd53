"""What a carrier's class reads out of a webhook."""

from __future__ import annotations

import json

import pytest

from piopiy_pipeline.gateway.access.access import AccessError, header_of
from piopiy_pipeline.gateway.carriers.carrier_stream import KeysPressed
from piopiy_pipeline.gateway.carriers.kit import CarrierCall, CarrierRequest, split_numbers, text_fields
from piopiy_pipeline.gateway.carriers.vonage import VonageStream

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


def test_numbers_among_custom_parameters_are_taken_out_and_those_that_are_empty_are_none() -> None:
    given = {"from": 1555, "to_number": None, "to": "1666", "order": "7"}
    assert split_numbers(given) == ("1555", "1666", {"order": "7"})
    assert split_numbers({"from_number": "", "from": None, "to": ""}) == (None, None, {})


@pytest.mark.parametrize(
    "said", [{"digit": 0}, {"digit": "0"}, {"dtmf": {"digit": 0}}, {"dtmf": {"digit": "0"}}]
)
def test_the_key_0_of_vonage_is_a_key_also_as_a_number(said: dict[str, object]) -> None:
    stream = VonageStream(16000, CarrierCall())
    stream.receive_text(b'{"event":"websocket:connected","content-type":"audio/l16;rate=16000"}')
    assert stream.receive_text(json.dumps({"event": "websocket:dtmf", **said}).encode()) == [KeysPressed("0")]
