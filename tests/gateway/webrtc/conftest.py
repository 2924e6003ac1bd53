"""What the tests of whole browser calls share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.browser_house import House
from tests.support.browser_peer import browser_calls, only_loopback
from tests.support.gateway_peers import config

__all__ = ["only_loopback"]


@pytest.fixture(scope="package")
def house() -> Iterator[House]:
    """One for all tests of a worker: its leg process takes a second to start."""
    stack = AsyncExitStack()

    async def build() -> tuple[Gateway, WebRtcCalls]:
        gateway = await stack.enter_async_context(Gateway(config()))
        return gateway, await stack.enter_async_context(browser_calls(gateway))

    with asyncio.Runner() as runner:
        gateway, calls = runner.run(build())
        yield House(runner, gateway, calls)
        runner.run(stack.aclose())
