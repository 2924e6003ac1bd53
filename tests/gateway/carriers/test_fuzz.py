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
MESSAGES_EACH, SESSIONS = 100, 100

_FORMATS: list[Any] = [
    {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    {"encoding": "PCMU", "sample_rate": 8000},
    {"encoding": "audio/x-raw", "sample_rate": "16000"},
    {"encoding": "audio/x-l16", "sampleRate": 16000},
    {},
]
_NAMES = ["event", "start", "media", "payload", "dtmf", "digit", "mark", "name", "track", "chunk", "stop"]
_EVENTS = ["connected", "start", "media", "dtmf", "mark", "stop", "playedStream", "error", "clearedAudio"]
_EVENTS += ["websocket:connected", "websocket:dtmf", "websocket:notify", "websocket:cleared"]
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


def start(randomness: random.Random) -> dict[str, Any]:
    sound = randomness.choice(_FORMATS)
    call: dict[str, Any] = {
        "streamSid": "s",
        "callSid": "c",
        "call_sid": "c",
        "call_control_id": "c",
        "callId": "c",
    }
    call |= {"streamId": "s", "from": 1555, "customParameters": {"a": "b"}, "custom_parameters": {"a": "b"}}
    return {
        "event": randomness.choice(["start", "websocket:connected"]),
        "start": call | {"mediaFormat": sound, "media_format": sound},
        "content-type": "audio/l16;rate=16000",
        "extra_headers": "a=b;c",
    }


def value(randomness: random.Random, depth: int = 0) -> Any:
    match randomness.randrange(5 if depth < 3 else 3):
        case 0 | 1:
            return randomness.choice(_ODD)
        case 2:
            return randomness.choice(_EVENTS)
        case 3:
            return [value(randomness, depth + 1) for _ in range(randomness.randrange(3))]
    return {randomness.choice(_NAMES): value(randomness, depth + 1) for _ in range(randomness.randrange(4))}


def message(randomness: random.Random) -> bytes | str:
    """Text as str, binary as bytes."""
    kind = randomness.randrange(10)
    if kind == 0:
        return randomness.randbytes(randomness.randrange(700))
    if kind == 1:
        return json.dumps(start(randomness))
    if kind == 2:
        return randomness.choice(["", "{", "[" * 50_000, "null", '{"event":1}', "1" * 5000, '{"event":NaN}'])
    if kind < 6:
        said: dict[str, Any] = {
            "event": randomness.choice(_EVENTS),
            "media": {"payload": "/w" + "A" * randomness.randrange(9), "chunk": randomness.choice(_ODD)},
            "dtmf": {"digit": randomness.choice("0123456789*#xA")},
            "mark": {"name": "m"},
            "name": "m",
        }
        if randomness.random() < 0.5:
            said[randomness.choice(list(said))] = value(randomness)
        text = json.dumps(said)
        cut = randomness.randrange(len(text)) if randomness.random() < 0.2 else len(text)
        return text[:cut]
    return json.dumps(value(randomness))


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


@pytest.mark.parametrize("carrier", MACHINES)
@settings(max_examples=SESSIONS, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_whatever_comes_is_understood_left_out_or_ends_this_stream(carrier: str, seed: int) -> None:
    randomness, machine, starts = random.Random(seed), MACHINES[carrier](), 0
    for _ in range(MESSAGES_EACH):
        heard, goes_on = hear(machine, message(randomness))
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
