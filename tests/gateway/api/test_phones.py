"""What an operator is told of the telephone side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.gateway_peers import config, until
from tests.support.web import API_KEY, client


class Nobody:
    """Neither calls nor is called."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@asynccontextmanager
async def gateway(sip: dict[str, Any] | None) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    async with Gateway(config(sip=sip, api_keys=[API_KEY])) as one, client(one) as web:
        await one.ready()
        yield one, web


def test_who_is_registered_where_and_what_was_refused() -> None:
    async def story() -> None:
        provides = {"port": 0, "transports": ["udp"], "users": {"acme": "secret", "away": "secret"}}
        async with gateway(provides) as (provider, web):
            assert provider.phones is not None
            main = {"host": "127.0.0.1", "port": provider.phones.port, "user": "acme", "password": "secret"}
            trunks = {
                "main": {**main, "register_there": True},
                "wrong": {**main, "password": "guess", "register_there": True},
                "other": {"host": "192.0.2.1"},
            }
            nobody = Nobody()
            customer = await SipEndpoint.open(
                SipConfig.model_validate({"port": 0, "transports": ["udp"], "trunks": trunks}), nobody
            )
            try:
                await until(lambda: customer.registrations == {"main": True, "wrong": False})
                media = Negotiation(host="127.0.0.1", port=9, codecs=["PCMU"], session_id=1)
                call = customer.invite("12", media.offer(), nobody, trunk="main")
                await until(lambda: call.ended)
                endpoint = provider.phones.endpoint
                assert endpoint is not None
                await until(lambda: endpoint.stats.wrong_passwords > 0)
                told = (await web.get("/api/phones")).json()
                assert told["registered"] == ["acme"]
                assert (told["port"], told["tls_port"], told["calls"]) == (provider.phones.port, None, 0)
                assert told["seen"]["unknown_numbers"] == 1
                assert told["seen"]["wrong_passwords"] >= 1
                assert told["trunks"] == []
            finally:
                await customer.close()

    asyncio.run(story())


def test_trunks_are_told_with_our_standing_there() -> None:
    async def story() -> None:
        trunks = {
            "main": {"host": "127.0.0.1", "port": 9, "user": "acme", "register_there": True},
            "other": {"host": "192.0.2.1"},
        }
        async with gateway({"port": 0, "transports": ["udp"], "trunks": trunks}) as (_, web):
            assert (await web.get("/api/phones")).json()["trunks"] == [
                {"name": "main", "host": "127.0.0.1", "registered": False},
                {"name": "other", "host": "192.0.2.1", "registered": None},
            ]

    asyncio.run(story())


def test_while_the_telephones_are_closed_they_may_be_asked_for_soon() -> None:
    async def story() -> None:
        async with gateway({"port": 0, "transports": ["udp"]}) as (one, web):
            assert one.phones is not None
            await one.phones.close()
            closed = await web.get("/api/phones")
            assert (closed.status_code, closed.headers["retry-after"]) == (503, "1")

    asyncio.run(story())


def test_it_is_for_operators_and_for_gateways_with_telephones() -> None:
    async def story() -> None:
        async with gateway(None) as (one, web):
            assert (await web.get("/api/phones")).status_code == 404
            async with client(one, key=None) as stranger:
                assert (await stranger.get("/api/phones")).status_code == 401

    asyncio.run(story())
