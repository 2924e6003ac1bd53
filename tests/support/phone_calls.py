"""Calls between real telephones, gateways and scripted agents, which the tests of `tests/sip` share."""

from __future__ import annotations

import asyncio
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from tests.support.baresip import Baresip, baresip
from tests.support.gateway_peers import Peer, ScriptedAgent, until
from tests.support.offline import Chain

__all__ = [
    "answered",
    "ended",
    "hears_all",
    "hears_tone",
    "loud",
    "phone_of",
    "phones_of",
    "recognised",
    "tone_file",
]

WINDOW_S = 0.2
LOUD = 300
QUIET = 4000
"""Samples: so much silence ends an utterance, half a second."""


def phones_of(gateway: Gateway) -> Phones:
    assert gateway.phones is not None
    return gateway.phones


@asynccontextmanager
async def phone_of(
    gateway: Gateway, user: str = "alice", *, account: str = "", transport: str = "udp", **settings: Any
) -> AsyncIterator[Baresip]:
    """Run a user's telephone that is registered at this gateway. `account` adds to the line of its account."""
    phones = phones_of(gateway)
    line = f"<sip:{user}@127.0.0.1:{phones.port};transport={transport}>;auth_pass=secret;regint=60"
    async with baresip(line + account, transport=transport, **settings) as phone:
        await until(lambda: phones.endpoint is not None and phones.endpoint.registered(user))
        yield phone


async def answered(gateway: Gateway, one: ScriptedAgent, phone: Baresip) -> tuple[dict[str, Any], Peer]:
    """Place a call from the phone, and let the scripted agent take it. Returns the offer, and its media
    stream.
    """
    dialling = asyncio.create_task(phone.dial(f"sip:5551234@127.0.0.1:{phones_of(gateway).port}"))
    offer = await one.offer()
    taken = await one.take(offer, caller_rate=offer["caller_rate"], bot_rate=offer["caller_rate"])
    await dialling
    return taken


async def ended(gateway: Gateway) -> CallSnapshot:
    """Return the first call that is over."""
    await until(lambda: bool(gateway.switchboard.snapshot().ended))
    return gateway.switchboard.snapshot().ended[0]


async def loud(media: Peer, seconds: float = 0.5, rate: int = 8000) -> int:
    """Return how loud the caller is in the next so many seconds of audio. Messages say nothing of how long it is: on a
    busy machine some have more.
    """
    pcm = await media.hear_audio_bytes(round(seconds * rate) * 2)
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max())


def tone_file(folder: Path, hz: float, seconds: float = 60.0, rate: int = 8000) -> Path:
    """Write a recording of a tone, for a phone to say."""
    path = folder / f"tone-{hz:g}.wav"
    pcm = (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(pcm.tobytes())
    return path


async def hears_tone(phone: Baresip, hz: float, seconds: float = 1.0) -> None:
    """Wait until the phone's recording holds so much of this tone."""
    await until(lambda: _seconds_of(phone.hears(), hz) >= seconds)


def _seconds_of(pcm: NDArray[np.int16], hz: float, rate: int = 8000) -> float:
    size = int(WINDOW_S * rate)
    windows = pcm[: pcm.size // size * size].reshape(-1, size).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(windows, axis=1)) / size * 2
    strongest = spectrum.argmax(axis=1) / WINDOW_S
    clear = (np.abs(strongest - hz) < 1.5 / WINDOW_S) & (spectrum.max(axis=1) > 1000)
    return float(clear.sum()) * WINDOW_S


async def hears_all(phone: Baresip, utterances: int) -> None:
    """Wait until the phone's recording holds so many utterances to their ends: it is later than what the bot knows."""

    def there() -> bool:
        pcm = phone.hears()
        return len(_utterances(pcm)) >= utterances and bool(
            (np.abs(pcm[-QUIET:].astype(np.int32)) < LOUD).all()
        )

    await until(there)


def _utterances(pcm: NDArray[np.int16], rate: int = 8000) -> list[NDArray[np.int16]]:
    """Return what was said between pauses of more than a second."""
    step = rate // 50
    loud = np.abs(pcm[: pcm.size // step * step].reshape(-1, step)).max(axis=1) > LOUD
    said, start, last = [], 0, -100
    for at in np.flatnonzero(loud).tolist():
        if at - last > 50:
            start = at
            said.append((start, at))
        last = at
        said[-1] = (start, last)
    return [pcm[max(0, first - 5) * step : (last + 6) * step] for first, last in said]


async def recognised(pcm: NDArray[np.int16]) -> list[str]:
    """Return what the offline recogniser understands of the bot, in lower case and without punctuation."""
    async with Chain(MoonshineSTTService(), rate_in=8000) as chain:
        heard = await chain.hear(*_utterances(pcm))
    plain = (re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")) for text in heard)
    return [re.sub(r"\bgood bye?\b", "goodbye", text) for text in plain]
