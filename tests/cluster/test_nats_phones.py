"""A phone that is registered at one gateway is called from another one: real phones, and a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone
from tests.support.baresip import Baresip, baresip, free_sip_port
from tests.support.calls import AGENT_ID as AGENT_OF_PROCESS
from tests.support.calls import eventually
from tests.support.cluster_processes import GatewayOfMany
from tests.support.gateway_peers import AGENT_ID, ScriptedAgent, agent, caller, config
from tests.support.nats_server import NatsServer, nats_server, needs_nats
from tests.support.web import API_KEY, client

pytestmark = [needs_nats, pytest.mark.realtime]

PATIENCE_S = 20.0
USERS = {"alice": "secret"}


def sip_gateway(server: NatsServer, host: str, name: str, **sip: Any) -> Gateway:
    return Gateway(
        config(
            host=host,
            api_keys=[API_KEY],
            sip={"host": host, "port": free_sip_port(), "users": USERS, "default_agent": AGENT_ID, **sip},
            cluster={"servers": [server.url], "name": name},
        )
    )


@asynccontextmanager
async def alice(
    host: str, port: int, transport: str = "udp", answers: str = "auto"
) -> AsyncIterator[Baresip]:
    account = (
        f"<sip:alice@{host}:{port};transport={transport}>;auth_pass=secret;regint=60;answermode={answers}"
    )
    async with baresip(account, transport=transport) as phone:
        yield phone


async def found(gateway: Gateway, at: str) -> RegisteredPhone:
    """Wait until a gateway knows that the phone is registered at another one."""
    assert gateway.phones is not None
    shared = gateway.phones.shared
    assert shared is not None
    await eventually(lambda: shared.directory.is_there(at), PATIENCE_S)
    for _ in range(int(PATIENCE_S / 0.02)):
        phone = await shared.directory.find_phone("alice")
        if phone is not None and phone.gateway == at:
            return phone
        await asyncio.sleep(0.02)
    raise AssertionError(f"the phone is not known to be registered at {at}")


async def taken(gateway: Gateway, one: ScriptedAgent) -> str:
    """The agent has taken the next call: its id."""
    offer = await one.offer()
    rate = offer["caller_rate"]
    await one.take(offer, caller_rate=rate, bot_rate=rate)
    call_id = str(offer["call_id"])
    await phase(gateway, call_id, Phase.LIVE)
    return call_id


async def phase(gateway: Gateway, call_id: str, wanted: Phase) -> None:
    def is_there() -> bool:
        call = gateway.switchboard.call(call_id)
        return (Phase.ENDED if call is None else call.phase) is wanted

    await eventually(is_there, PATIENCE_S)


def hears_the_bot(phone: Baresip) -> bool:
    return any(
        int(np.abs(np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(np.int32)).max(initial=0)) > 3000
        for pcm in (path.read_bytes()[44:] for path in phone.folder.glob("dump-*-dec.wav"))
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_phone_at_one_gateway_is_called_from_another_and_either_side_hangs_up(
    tmp_path: Path, transport: str
) -> None:
    async def story() -> None:
        async with (
            nats_server("-js", "-sd", str(tmp_path)) as server,
            sip_gateway(server, "127.0.0.2", "a") as a,
            sip_gateway(server, "127.0.0.3", "b") as b,
            agent(b) as one,
            client(b) as web,
        ):
            assert a.phones is not None
            assert b.phones is not None
            at_a, at_b = a.phones.endpoint, b.phones.endpoint
            assert at_a is not None
            assert at_b is not None
            async with alice("127.0.0.2", a.phones.port, transport) as phone:
                registered = await found(b, "a")
                assert registered.transport == transport
                for who in ("phone", "gateway"):
                    order = {"agent_id": AGENT_ID, "to": "alice", "from": "5550000"}
                    assert (await web.post("/api/calls", json=order)).status_code == 201
                    assert "5550000" in (await phone.event("CALL_ESTABLISHED"))["peeruri"]
                    call_id = await taken(b, one)
                    before = at_a.stats.passed_on
                    assert before > 0, (
                        "the call took its way through the gateway where the phone is registered"
                    )
                    if who == "phone":
                        await phone.hang_up()
                        await phone.event("CALL_CLOSED")
                    else:
                        assert (await web.post(f"/api/calls/{call_id}/hangup")).is_success
                        await phone.event("CALL_CLOSED")
                    await phase(b, call_id, Phase.ENDED)
                    await eventually(lambda: not at_b.calls)
                    assert at_a.stats.passed_on > before, "and so did its end"
                assert not a.switchboard.snapshot().calls
                assert not at_a.calls

    asyncio.run(story())


def test_a_caller_is_transferred_to_a_phone_at_another_gateway(tmp_path: Path) -> None:
    outcomes: list[Any] = []

    def watch(news: BusEvent) -> None:
        if isinstance(news, ConversationReported) and news.event == "transfer":
            outcomes.append(news.data["outcome"])

    async def story() -> None:
        async with (
            nats_server("-js", "-sd", str(tmp_path)) as server,
            sip_gateway(server, "127.0.0.2", "a") as a,
            sip_gateway(server, "127.0.0.3", "b") as b,
            agent(b) as one,
            client(b) as web,
        ):
            assert a.phones is not None
            b.switchboard.event_bus.subscribe(watch)
            async with alice("127.0.0.2", a.phones.port) as phone, caller(b) as line:
                await found(b, "a")
                call_id = await taken(b, one)
                await line.hear("answered")
                answer = await web.post(f"/api/calls/{call_id}/transfer", json={"to": "alice"})
                assert answer.is_success, answer.text
                await phone.event("CALL_ESTABLISHED")
                await phase(b, call_id, Phase.BRIDGED)
                await phone.hang_up()
                await phase(b, call_id, Phase.ENDED)
                assert outcomes == ["bridged"]

    asyncio.run(story())


def test_a_phone_whose_gateway_was_killed_is_called_directly(tmp_path: Path) -> None:
    port = free_sip_port()
    sip = f'[sip]\nhost = "127.0.0.2"\nport = {port}\nusers = {{ alice = "secret" }}\n'
    sip += f'default_agent = "{AGENT_OF_PROCESS}"'

    async def story() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(nats_server("-js", "-sd", str(tmp_path / "js")))
            a = GatewayOfMany("a", "127.0.0.2", sip)
            await a.start(tmp_path, server.url)
            assert a.process is not None
            stack.push_async_callback(a.process.close)
            b = await stack.enter_async_context(sip_gateway(server, "127.0.0.3", "b"))
            one = await stack.enter_async_context(agent(b))
            web = await stack.enter_async_context(client(b))
            phone = await stack.enter_async_context(alice("127.0.0.2", port))
            await found(b, "a")
            a.kill()
            # Nobody has noticed yet: the INVITE goes to a gateway that is dead, and then to the phone.
            order = {"agent_id": AGENT_ID, "to": "alice"}
            assert (await web.post("/api/calls", json=order)).status_code == 201
            await phone.event("CALL_ESTABLISHED")
            call_id = await taken(b, one)
            await phone.hang_up()
            await phase(b, call_id, Phase.ENDED)
            assert (await found_anywhere(b)).gateway == "a", "it is known until it expires"

    asyncio.run(story())


def test_a_phone_is_found_again_when_the_server_comes_back_without_its_store(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            nats_server("-js", "-sd", str(tmp_path / "before")) as server,
            sip_gateway(server, "127.0.0.2", "a") as a,
            sip_gateway(server, "127.0.0.3", "b") as b,
        ):
            assert a.phones is not None
            async with alice("127.0.0.2", a.phones.port):
                registered = await found(b, "a")
                await server.kill()
                server.more = ("-js", "-sd", str(tmp_path / "after"))
                await server.start()
                assert await found(b, "a") == registered, "though it has not registered again"

    asyncio.run(story())


def test_a_telephone_call_is_kept_from_its_first_checkpoint_until_it_ends(tmp_path: Path) -> None:
    async def story() -> None:
        from nats.aio.client import Client

        from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints

        async with (
            nats_server("-js", "-sd", str(tmp_path)) as server,
            sip_gateway(server, "127.0.0.2", "a") as a,
            agent(a) as one,
            alice("127.0.0.2", a.phones.port if a.phones else 0) as phone,
        ):
            assert a.phones is not None
            nats = Client()
            await nats.connect(server.url)
            store = NatsCheckpoints(nats, "piopiy", "phone-calls")
            try:
                dialling = asyncio.create_task(phone.dial(f"sip:100@127.0.0.2:{a.phones.port}"))
                call_id = await taken(a, one)
                await dialling
                assert await store.kept("") == []
                await one.say(type="checkpoint", call_id=call_id, state={"turns": 2})
                keys = await kept_when(store, 1)
                seen: list[Any] = []

                def look(data: dict[str, Any]) -> bool:
                    seen.append(data)
                    return False  # it is not taken

                await store.take(keys[0], look)
                assert seen[0]["checkpoint"] == {"turns": 2}
                assert seen[0]["phone"]["dialog"]["local_tag"]
                await phone.hang_up()
                await kept_when(store, 0)
            finally:
                await store.close()
                await nats.close()

    asyncio.run(story())


async def kept_when(store: Any, count: int) -> list[str]:
    """Wait until so many calls are kept."""
    for _ in range(int(PATIENCE_S / 0.02)):
        keys: list[str] = await store.kept("")
        if len(keys) == count:
            return keys
        await asyncio.sleep(0.02)
    raise AssertionError(f"never were {count} calls kept")


async def found_anywhere(gateway: Gateway) -> RegisteredPhone:
    assert gateway.phones is not None
    assert gateway.phones.shared is not None
    phone = await gateway.phones.shared.directory.find_phone("alice")
    assert phone is not None
    return phone
