"""Calls that the bot ends are ended over the carrier's API, where that is set up; and never longer than bounded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loguru import logger

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers import carrier_gateway as gateway_module
from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
from piopiy_pipeline.gateway.carriers.carrier_stream import CarrierStart
from piopiy_pipeline.gateway.carriers.config import CarriersConfig
from tests.gateway.carriers.test_plivo import begin as begin_plivo
from tests.gateway.carriers.test_plivo import signed as signed_plivo
from tests.gateway.carriers.test_telnyx import PUBLIC_KEY, ask
from tests.gateway.carriers.test_telnyx import begin as begin_telnyx
from tests.gateway.carriers.test_twilio import begin as begin_twilio
from tests.gateway.carriers.test_twilio import signed as signed_twilio
from tests.support.agents import logged
from tests.support.carriers import PUBLIC, carrier_config, stream
from tests.support.gateway_peers import AGENT_ID, agent, until


class Api:
    """A carrier's API: what it was asked, and the status that it answers; None is no answer at all."""

    def __init__(self) -> None:
        self.url = ""
        self.status: int | None = 200
        self.asked: list[tuple[str, str, str, str]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        self.asked.append((method, path, headers["Authorization"], body.decode()))
        if self.status is None:
            await reader.read()
        else:
            writer.write(
                f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
        writer.close()


@asynccontextmanager
async def an_api() -> AsyncIterator[Api]:
    api = Api()
    server = await asyncio.start_server(api.handle, "127.0.0.1", 0)
    async with server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield api


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_call_that_the_bot_ends_is_ended_at_twilio_and_one_that_the_caller_ended_is_not() -> None:
    async def story() -> None:
        async with an_api() as api:
            twilio = {"auth_token": "twilio-auth-token", "account_sid": "AC0123", "api_url": api.url}
            async with Gateway(carrier_config(twilio=twilio)) as gateway, agent(gateway) as one:
                path = f"/carrier/twilio/{AGENT_ID}"
                for bot_ends in (False, True):
                    async with stream(gateway, path, signed_twilio(path, scheme="wss")) as line:
                        await begin_twilio(line)
                        offer, _ = await one.take()
                        if bot_ends:
                            await one.hangup(offer)
                            await line.closed()
                await until(lambda: bool(api.asked))
        ((method, where, key, body),) = api.asked
        assert (method, where) == ("POST", "/2010-04-01/Accounts/AC0123/Calls/CA0123.json")
        assert (key, body) == (basic("AC0123:twilio-auth-token"), "Status=completed")

    asyncio.run(story())


def test_at_telnyx() -> None:
    async def story() -> None:
        async with an_api() as api:
            telnyx = {"public_key": PUBLIC_KEY, "api_key": "KEY0", "api_url": api.url}
            async with Gateway(carrier_config(telnyx=telnyx)) as gateway, agent(gateway) as one:
                path, _ = await ask(gateway)
                async with stream(gateway, path) as line:
                    await begin_telnyx(line)
                    offer, _ = await one.take()
                    await one.hangup(offer)
                    await line.closed()
                await until(lambda: bool(api.asked))
        ((method, where, key, _),) = api.asked
        assert (method, where, key) == ("POST", "/v2/calls/v3:abc/actions/hangup", "Bearer KEY0")

    asyncio.run(story())


def test_at_plivo() -> None:
    async def story() -> None:
        async with an_api() as api:
            plivo = {"auth_token": "plivo-auth-token", "auth_id": "MAXX", "api_url": api.url}
            async with Gateway(carrier_config(plivo=plivo)) as gateway, agent(gateway) as one:
                path = f"/carrier/plivo/{AGENT_ID}"
                async with stream(gateway, path, signed_plivo(path, scheme="wss")) as line:
                    await begin_plivo(line)
                    offer, _ = await one.take()
                    await one.hangup(offer)
                    await line.closed()
                await until(lambda: bool(api.asked))
        ((method, where, key, _),) = api.asked
        assert (method, where) == ("DELETE", "/v1/Account/MAXX/Call/12345678-1234/")
        assert key == basic("MAXX:plivo-auth-token")

    asyncio.run(story())


def a_desk(url: str) -> CarrierGateway:
    twilio = {"auth_token": "hush-hush", "account_sid": "AC1", "api_url": url}
    config = CarriersConfig.model_validate({"public_url": PUBLIC, "twilio": twilio})
    return CarrierGateway(
        config, agents=[AGENT_ID], token_secret=None, wall=lambda: 0.0, place=lambda *_: None
    )


def hang_up(desk: CarrierGateway, call_id: str = "CA1") -> None:
    desk._hang_up(desk._carrier("twilio"), CarrierStart(call_id=call_id), "call-1")


@pytest.mark.parametrize(
    ("status", "warned"), [(200, False), (404, False), (500, True), (301, True), (None, True)]
)
def test_what_the_api_answers_is_waited_for_within_bounds_and_failures_are_told(
    status: int | None, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "REST_S", 0.3)
    told: list[str] = []
    sink = logger.add(lambda message: told.append(message.record["message"]), level="WARNING")

    async def story() -> None:
        async with an_api() as api:
            api.status = status
            desk = a_desk(api.url)
            hang_up(desk)
            await until(lambda: bool(api.asked))
            await desk.close()
            await desk.close()
            hang_up(desk)
            assert len(api.asked) == 1, "nothing is asked any more"

    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    # A close that comes first cuts the request off without a word.
    assert bool([one for one in told if "twilio" in one]) == warned or status is None
    assert "hush" not in str(told)


def test_an_api_that_is_not_there_and_too_many_ends_at_once_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "REST_LIMIT", 1)

    async def story() -> None:
        desk = a_desk("http://127.0.0.1:9")
        hang_up(desk)
        hang_up(desk)
        await desk.close()

    with logged() as lines:
        asyncio.run(story())
    told = [(call_id, line) for call_id, line in lines if line.startswith("WARNING")]
    assert any("one more is not" in line for _, line in told)
    assert any("could not be asked" in line for _, line in told)
    assert {call_id for call_id, _ in told} == {"call-1"}


@pytest.mark.parametrize("later", [10.0, -3600.0], ids=["later", "the clock was set back"])
def test_refusals_are_told_with_their_reason_and_a_flood_of_them_is_counted(later: float) -> None:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(message.record["message"]), level="WARNING")
    clock = iter([0.0] * 100 + [later])
    twilio = {"twilio": {"auth_token": "hush-hush"}}
    config = CarriersConfig.model_validate({"public_url": PUBLIC, **twilio})
    desk = CarrierGateway(
        config, agents=[], token_secret=None, wall=lambda: next(clock), place=lambda *_: None
    )
    try:
        for _ in range(101):
            with pytest.raises(AccessError):
                desk.admit(["twilio", AGENT_ID], "/carrier/twilio/x", lambda _: None)
        with pytest.raises(AccessError):
            desk.admit(["nobody"], "/carrier/nobody", lambda _: None)
    finally:
        logger.remove(sink)
    assert told == [
        "a request as of twilio was refused (1 since last logged): this request has no X-Twilio-Signature",
        "a request as of twilio was refused (100 since last logged): this request has no X-Twilio-Signature",
    ]


@pytest.mark.parametrize("call_id", ["", "..", "../../x", "a/b", "a?b", "a%2fb"])
def test_an_id_that_would_change_the_address_is_not_asked_for(call_id: str) -> None:
    secrets = {"auth_token": "x", "account_sid": "AC1"}
    plivo = {"auth_token": "x", "auth_id": "MA1"}
    telnyx = {"public_key": PUBLIC_KEY, "api_key": "x"}
    tables = {"twilio": secrets, "plivo": plivo, "telnyx": telnyx}
    config = CarriersConfig.model_validate({"public_url": PUBLIC, **tables})
    desk = CarrierGateway(config, agents=[], token_secret=None, wall=lambda: 0.0, place=lambda *_: None)
    for name in tables:
        assert desk._carrier(name).hangup(CarrierStart(call_id=call_id)) is None
        assert desk._carrier(name).hangup(CarrierStart(call_id="v3:a_b-c")) is not None
