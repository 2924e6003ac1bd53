"""Ten thousand messages for each carrier's state machine, of which few are what they should be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.carriers.carrier import CarrierCall
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierAudio,
    CarrierError,
    CarrierStart,
    CarrierStream,
    KeysPressed,
    MalformedStreamMessage,
    MarkPlayed,
    StreamEvent,
    StreamStopped,
)
from piopiy_pipeline.gateway.carriers.config import CARRIERS
from piopiy_pipeline.gateway.carriers.exotel import ExotelStream
from piopiy_pipeline.gateway.carriers.piopiy import PiopiyStream
from piopiy_pipeline.gateway.carriers.plivo import PlivoStream
from piopiy_pipeline.gateway.carriers.telnyx import TelnyxStream
from piopiy_pipeline.gateway.carriers.twilio import TwilioStream
from piopiy_pipeline.gateway.carriers.vonage import VonageStream

MACHINES: dict[str, Callable[[], CarrierStream]] = {
    "twilio": TwilioStream,
    "telnyx": lambda: TelnyxStream("PCMU"),
    "plivo": PlivoStream,
    "exotel": lambda: ExotelStream(8000),
    "vonage": lambda: VonageStream(16000, CarrierCall("1", "2", "3")),
    "piopiy": lambda: PiopiyStream(8000, CarrierCall("1", "2", "3")),
}
OWN: dict[str, list[dict[str, Any] | bytes]] = {
    "twilio": [
        {"event": "start", "start": {"streamSid": "s", "callSid": "c", "customParameters": {"a": "b"}}},
        {"event": "media", "media": {"payload": "/w==", "track": "inbound"}},
        {"event": "dtmf", "dtmf": {"digit": "5"}},
        {"event": "mark", "mark": {"name": "m"}},
        {"event": "stop"},
    ],
    "telnyx": [
        {
            "event": "start",
            "start": {"call_control_id": "c", "media_format": {"encoding": "PCMU", "sample_rate": 8000}},
        },
        {"event": "media", "media": {"payload": "/w==", "chunk": "1"}},
        {"event": "dtmf", "dtmf": {"digit": "#"}},
        {"event": "mark", "mark": {"name": "m"}},
        {"event": "stop"},
    ],
    "plivo": [
        {
            "event": "start",
            "start": {
                "callId": "c",
                "streamId": "s",
                "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000},
            },
            "extra_headers": "a=b;c",
        },
        {"event": "media", "media": {"payload": "AAA="}},
        {"event": "dtmf", "dtmf": {"digit": "*"}},
        {"event": "playedStream", "name": "m"},
        {"event": "stop"},
    ],
    "exotel": [
        {
            "event": "start",
            "start": {
                "call_sid": "c",
                "from": 1555,
                "custom_parameters": {"a": "b"},
                "media_format": {"encoding": "audio/x-raw", "sample_rate": "16000"},
            },
        },
        {"event": "media", "media": {"payload": "AAA=", "chunk": "2"}},
        {"event": "dtmf", "dtmf": {"digit": "0", "duration": "100"}},
        {"event": "mark", "mark": {"name": "m"}},
        {"event": "stop"},
    ],
    "vonage": [
        {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "a": "b"},
        bytes(640),
        {"event": "websocket:dtmf", "digit": "7"},
        {"event": "websocket:notify", "payload": {"mark": "m"}},
        {"event": "websocket:disconnected"},
    ],
    "piopiy": [bytes(320)],
}
"""The messages that each carrier's machine knows, the start first. Most of what is sent is made of them."""
MESSAGES_EACH, SESSIONS = 100, 100

_FORMATS: list[Any] = [
    {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    {"encoding": "PCMU", "sample_rate": 8000},
    {"encoding": "audio/x-raw", "sample_rate": "16000"},
    {"encoding": "audio/x-l16", "sampleRate": 16000},
    {},
]
_NAMES = ["event", "start", "media", "payload", "dtmf", "digit", "mark", "name", "track", "chunk", "stop"]
_NAMES += ["mediaFormat", "media_format", "customParameters", "custom_parameters", "error"]
_ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "x" * 600,
    "\ud800",
    [],
    {},
    [[]],
    "AAA=",
    "////",
    "7",
    "é",
]


def value(randomness: random.Random, depth: int = 0) -> Any:
    match randomness.randrange(5 if depth < 3 else 3):
        case 0 | 1:
            return randomness.choice(_ODD)
        case 2:
            return randomness.choice(_FORMATS)
        case 3:
            return [value(randomness, depth + 1) for _ in range(randomness.randrange(3))]
    return {randomness.choice(_NAMES): value(randomness, depth + 1) for _ in range(randomness.randrange(4))}


def changed(randomness: random.Random, own: dict[str, Any]) -> dict[str, Any]:
    """The message with one thing in it taken out or exchanged, perhaps deep inside."""
    made = dict(own)
    name = randomness.choice([*made, randomness.choice(_NAMES)])
    inside = made.get(name)
    if isinstance(inside, dict) and randomness.random() < 0.7:
        made[name] = changed(randomness, inside)
    elif randomness.random() < 0.3:
        made.pop(name, None)
    else:
        made[name] = value(randomness)
    return made


def message(randomness: random.Random, carrier: str) -> bytes | str:
    """Text as str, binary as bytes."""
    kind = randomness.randrange(10)
    if kind == 0:
        return randomness.randbytes(randomness.randrange(700))
    if kind == 1:
        return json.dumps(value(randomness))
    if kind == 2:
        return randomness.choice(["", "{", "[" * 50_000, "null", '{"event":1}', "1" * 5000, '{"event":NaN}'])
    own = randomness.choice([OWN[carrier][0], *OWN[carrier]])
    if isinstance(own, bytes):
        return own[: randomness.randrange(len(own) + 1)]
    text = json.dumps(own if kind < 6 else changed(randomness, own))
    cut = randomness.randrange(len(text)) if randomness.random() < 0.1 else len(text)
    return text[:cut]


def check(heard: StreamEvent) -> None:
    match heard:
        case CarrierAudio(pcm=pcm):
            assert pcm
            assert len(pcm) % 2 == 0
        case KeysPressed(digits=digits):
            assert digits
            assert set(digits) <= set("0123456789ABCD*#")
        case CarrierStart():
            json.dumps(heard.parameters, ensure_ascii=False, allow_nan=False).encode()
            assert isinstance(heard.call_id, str)
        case MarkPlayed(name=name):
            assert isinstance(name, str)
        case _:
            assert isinstance(heard, StreamStopped)


def test_every_carrier_is_fuzzed() -> None:
    assert set(MACHINES) == set(OWN) == set(CARRIERS)


@pytest.mark.parametrize("carrier", MACHINES)
def test_a_machine_understands_its_carriers_own_messages(carrier: str) -> None:
    """Or the fuzz below would never get behind the start."""
    machine = MACHINES[carrier]()
    events = machine.opened()
    for own in OWN[carrier]:
        heard, _ = hear(machine, own if isinstance(own, bytes) else json.dumps(own))
        assert heard, f"{carrier} makes nothing of {own!r}: it is no message of this carrier"
        events += heard
    assert {CarrierStart, CarrierAudio} <= {type(event) for event in events}


@pytest.mark.parametrize("carrier", MACHINES)
@settings(max_examples=SESSIONS, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_whatever_comes_is_understood_left_out_or_ends_this_stream(carrier: str, seed: int) -> None:
    randomness, machine, starts = random.Random(seed), MACHINES[carrier](), 0
    for _ in range(MESSAGES_EACH):
        heard, goes_on = hear(machine, message(randomness, carrier))
        for one in heard:
            check(one)
            starts += isinstance(one, CarrierStart)
        assert starts <= 1
        assert len(machine.send_audio(bytes(machine.format.rate // 50 * 2))) <= 1
        if not goes_on:
            machine, starts = MACHINES[carrier](), 0


def hear(machine: CarrierStream, sent: bytes | str) -> tuple[list[StreamEvent], bool]:
    """What was heard, and whether the stream goes on. Whatever else is raised fails the test."""
    data = sent.encode(errors="surrogatepass") if isinstance(sent, str) else sent
    try:
        heard = (machine.receive_text if isinstance(sent, str) else machine.receive_binary)(data)
    except MalformedStreamMessage:
        return [], True
    except CarrierError:
        return [], False
    return heard, not any(isinstance(one, StreamStopped) for one in heard)
