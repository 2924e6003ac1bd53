"""A carrier of a few lines: it asks a gateway what to do with a call, and streams the call there."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from piopiy_pipeline.gateway import Gateway, GatewayConfig
from tests.support.gateway_peers import Peer, config

__all__ = ["PUBLIC", "carrier_config", "hear_json", "level", "path_of", "payload", "refused", "stream"]

PUBLIC = "https://voice.example"


def carrier_config(*, settings: Mapping[str, Any] | None = None, **tables: Any) -> GatewayConfig:
    """Return the configuration of a gateway with these carriers, whose public address is `PUBLIC`."""
    return config(carriers={"public_url": PUBLIC, **tables}, **(settings or {}))


def path_of(url: str) -> str:
    """Return the path and query of a stream's address, which must be one at `PUBLIC`."""
    assert url.startswith("wss://voice.example/"), url
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@asynccontextmanager
async def stream(
    gateway: Gateway, path: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Peer]:
    """Open the carrier's connection."""
    async with connect(
        gateway.url + path, additional_headers=headers, compression=None, proxy=None
    ) as socket:
        yield Peer(socket)


async def refused(gateway: Gateway, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the sentence with which a stream is refused."""
    try:
        async with stream(gateway, path, headers):
            pass
    except InvalidStatus as error:
        return error.response.status_code, (error.response.body or b"").decode()
    raise AssertionError(f"the stream at {path} was let in")


def payload(sound: bytes) -> str:
    """Return audio as JSON carries it."""
    return base64.b64encode(sound).decode()


def level(pcm: bytes | NDArray[np.int16]) -> int:
    """Return about the value of the samples of audio with one level. About, because codecs round."""
    samples = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
    return int(np.median(samples))


async def hear_json(peer: Peer, kind: str) -> dict[str, Any]:
    """Return the next message whose ``event``, ``type`` or ``action`` is this. Audio is kept, others are
    skipped.

    Audio is kept, others are skipped.
    """
    return await peer.hear_where(lambda message: kind in message.values(), kind)
