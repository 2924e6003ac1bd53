"""The gateway as agents and callers meet it: over real sockets on loopback."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from unittest.mock import create_autospec

import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway, GatewayError
from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.core.leg import Leg
from tests.support.gateway_peers import (
    AGENT_ID,
    AGENT_TOKEN,
    ScriptedAgent,
    agent,
    bearer,
    caller,
    config,
    until,
)

# ---------------------------------------------------------------------- coming in


def test_a_browser_at_the_address_is_told_what_is_here() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            status, text = await asyncio.to_thread(fetch, gateway.port, "/healthz")
            assert status == 200
            assert text.startswith("piopiy gateway ")
            status, text = await asyncio.to_thread(fetch, gateway.port, "/")
            assert status == 200
            assert text.startswith("<!doctype html>")

    asyncio.run(story())


def fetch(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    async def story() -> None:
        async with Gateway(config()) as first:
            with pytest.raises(GatewayError, match=f"port {first.port} is in use.*choose another"):
                await Gateway(config(port=first.port)).start()
        with pytest.raises(GatewayError, match="host"):
            await Gateway(config(host="no.such.host.invalid")).start()

    asyncio.run(story())


def test_an_agent_that_says_what_fits_no_model_is_told_and_cut_off() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one:
            await one.say(type="status", active=0, capacity=1, mood="fine")
            fault = await one.hear("fault")
            assert fault["code"] == "protocol"
            assert "mood" in fault["detail"]
            assert (await one.closed())[0] == 1008
            await until(lambda: not gateway.switchboard.snapshot().instances)

    asyncio.run(story())


def test_an_agent_cannot_register_under_another_agents_name() -> None:
    async def story() -> None:
        settings = config(agents={AGENT_ID: AGENT_TOKEN, "other": "other-token"})
        async with (
            Gateway(settings) as gateway,
            connect(f"{gateway.url}/agent", additional_headers=bearer("other-token"), proxy=None) as socket,
        ):
            intruder = ScriptedAgent(socket)
            await intruder.register("one")
            assert (await intruder.hear("fault"))["code"] == "unknown_agent"

    asyncio.run(story())


def test_waiting_for_an_agent_ends_when_one_registers_or_with_an_error() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            with pytest.raises(GatewayError, match="no instance of agent 'front-desk'"):
                await gateway.wait_for_agent(AGENT_ID, 0.02)
            waiting = asyncio.create_task(gateway.wait_for_agent(AGENT_ID, 10))
            async with agent(gateway):
                await waiting

    asyncio.run(story())


def test_more_connections_than_the_gateway_takes_are_cut() -> None:
    async def story() -> None:
        async with Gateway(config(max_calls=1)) as gateway:
            crowd = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(300)]
            await until(lambda: sum(reader.at_eof() for reader, _ in crowd) == 300 - 258)
            for _, writer in crowd:
                await hang_up(writer)

    asyncio.run(story())


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


# ---------------------------------------------------------------------- calls


def test_a_whole_call() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            caller(gateway, from_number="+1", to_number="+2", metadata={"table": 4}) as line,
        ):
            call_id = (await line.hear("ringing"))["call_id"]
            offer, media = await one.take()
            assert offer["call_id"] == call_id
            assert (offer["from_number"], offer["to_number"], offer["metadata"]) == ("+1", "+2", {"table": 4})
            assert (offer["caller_rate"], offer["kind"]) == (16000, "stream")
            await line.hear("answered")

            await line.socket.send(b"\x01\x00" * 320)
            assert await media.hear_audio(1) == b"\x01\x00" * 320
            await media.socket.send(b"\x02\x00" * 640)
            assert await line.hear_audio(2) == b"\x02\x00" * 640

            await one.say(
                type="event", call_id=call_id, at=0.5, event="user_turn", data={"text": "A table for four."}
            )
            told = await line.hear("conversation")
            assert (told["name"], told["data"]) == ("user_turn", {"text": "A table for four."})

            await line.say(event="dtmf", digits="42#")
            assert (await media.hear("dtmf"))["digits"] == "42#"
            await media.say(event="message", data={"menu": "open"})
            assert (await line.hear("message"))["data"] == {"menu": "open"}

            await one.hangup(offer, detail="goodbye")
            ended = await line.hear("ended")
            assert (ended["reason"], ended["detail"]) == ("agent_hangup", "goodbye")
            assert (await line.closed())[0] == 1000
            assert (await media.closed())[0] == 1000
            [record] = gateway.switchboard.snapshot().ended
            assert (record.instance_id, record.reason) == ("one", EndReason.AGENT_HANGUP)

    asyncio.run(story())


def test_two_calls_go_to_two_instances() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway, "one") as one,
            agent(gateway, "two") as two,
            caller(gateway) as first,
            caller(gateway) as second,
        ):
            await one.take()
            await two.take()
            await first.hear("answered")
            await second.hear("answered")

    asyncio.run(story())


def test_a_rejected_and_an_expired_offer_go_on_and_a_late_accept_is_refused() -> None:
    async def story() -> None:
        async with (
            Gateway(config(offer_ms=150)) as gateway,
            agent(gateway, "full") as full,
            agent(gateway, "slow") as slow,
            agent(gateway, "good") as good,
            caller(gateway) as line,
        ):
            offer = await full.offer()
            await full.say(type="reject", call_id=offer["call_id"], offer_id=offer["offer_id"], reason="full")
            slow_offer = await slow.offer()
            slow_media = await slow.open_media(slow_offer)
            assert "deadline" in (await slow.hear("cancel"))["detail"]
            await slow.accept(slow_offer)
            assert "too late" in (await slow.hear("cancel"))["detail"]
            await slow_media.closed()
            await good.take()
            await line.hear("answered")
            assert gateway.switchboard.snapshot().calls[0].instance_id == "good"

    asyncio.run(story())


def test_without_an_agent_the_caller_learns_why() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, caller(gateway) as line:
            assert (await line.hear("ended"))["reason"] == "no_agent"

    asyncio.run(story())


def test_a_killed_agents_call_goes_on_with_another_from_its_checkpoint() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway, "one") as one,
            agent(gateway, "two") as two,
            caller(gateway) as line,
        ):
            offer, media = await one.take()
            await line.hear("answered")
            await one.say(type="checkpoint", call_id=offer["call_id"], state={"people": 4})
            await one.say(type="event", call_id=offer["call_id"], at=1, event="bot_turn", data={})
            await line.hear("conversation")
            one.die()
            media.die()
            again, new_media = await two.take()
            assert again["call_id"] == offer["call_id"]
            assert again["checkpoint"] == {"people": 4}
            await new_media.socket.send(b"\x05\x00" * 320)
            assert await line.hear_audio(1) == b"\x05\x00" * 320

    asyncio.run(story())


def test_a_killed_agent_without_another_ends_the_call_with_agent_lost() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            one.die()
            assert (await line.hear("ended"))["reason"] == "agent_lost"
            await media.closed()

    asyncio.run(story())


@pytest.mark.parametrize("how", ["leaves", "closes", "vanishes"])
def test_a_caller_who_is_gone_has_hung_up(how: str) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take()
            await line.hear("answered")
            match how:
                case "leaves":
                    await line.say(event="hangup")
                    assert (await line.hear("ended"))["reason"] == "caller_hangup"
                case "closes":
                    await line.socket.close()
                case _:
                    line.die()
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            await media.hear("stop")

    asyncio.run(story())


def test_closing_the_gateway_ends_calls_and_agents_with_shutdown() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            await one.take()
            await line.hear("answered")
            closing = asyncio.gather(gateway.close(), gateway.close())
            assert (await line.hear("ended"))["reason"] == "shutdown"
            assert (await one.hear("ended"))["reason"] == "shutdown"
            assert (await one.hear("fault"))["code"] == "shutdown"
            await line.socket.close()
            await closing
            await gateway.close()
            with pytest.raises(OSError):
                await connect(gateway.url, proxy=None)

    asyncio.run(story())


def test_calls_have_ended_when_the_gateway_leaves_its_cluster() -> None:
    """Else what is kept of them would not be forgotten, and they would go on in the next process."""
    left_with: list[int] = []

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway):
            await one.offer()
            cluster = create_autospec(Cluster, instance=True)
            cluster.close.side_effect = lambda: left_with.append(gateway.switchboard.call_count)
            gateway._cluster = cluster
            await gateway.close()

    asyncio.run(story())
    assert left_with == [0]


def test_a_peer_that_reads_nothing_does_not_hold_up_the_close() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            async with agent(gateway) as one:
                one.socket.transport.pause_reading()
                async with asyncio.timeout(10):
                    await gateway.close()
                one.die()
            await hang_up(writer)

    asyncio.run(story())


def test_serving_for_ever_ends_with_the_gateway() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            serving = asyncio.create_task(gateway.serve_forever())
            await asyncio.sleep(0)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            with pytest.raises(OSError):
                await connect(gateway.url, proxy=None)

    asyncio.run(story())


def test_many_calls_leave_no_tasks_no_threads_and_no_calls() -> None:
    async def one_call(gateway: Gateway, one: ScriptedAgent) -> None:
        async with caller(gateway) as line:
            offer, media = await one.take(bot_rate=24000)
            await line.hear("answered")
            await media.socket.send(bytes(960 * 2))
            await line.hear_audio(2)
            await one.hangup(offer)
            await line.hear("ended")
            await media.closed()

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one:
            await one_call(gateway, one)
            before, threads = len(asyncio.all_tasks()), threading.active_count()
            for _ in range(30):
                await one_call(gateway, one)
            await until(lambda: len(asyncio.all_tasks()) <= before)
            assert threading.active_count() <= threads
            seen = gateway.switchboard.snapshot()
            assert seen.calls == ()
            assert len(seen.ended) == 31
            assert seen.instances[0].active == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())


def test_deadlines_that_have_passed_are_acted_on_with_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway, "one"), agent(gateway, "two"):
            long_ago = asyncio.get_running_loop().time() - 60
            legs = [create_autospec(Leg, instance=True, rate=16000, frames_dropped=0) for _ in range(3)]
            for number, leg in enumerate(legs):
                info = CallInfo(agent_id=AGENT_ID, call_id=f"call-{number}")
                gateway.switchboard.place(info, leg, long_ago)
            await gateway.wait_for_agent(AGENT_ID, 1)
            await until(lambda: gateway.switchboard.snapshot().calls[0].offers == 2)

    uvloop.run(story())


# ---------------------------------------------------------------------- what it stands on


def test_the_gateway_loads_neither_pipecat_nor_onnxruntime_nor_the_agents_side() -> None:
    program = """
        import asyncio, json, sys
        from piopiy_pipeline.gateway import Gateway, GatewayConfig

        async def main():
            settings = GatewayConfig(port=0, records=False, webrtc_workers=0)
            async with Gateway(settings) as gateway:
                await gateway.ready()

        asyncio.run(main())
        print(json.dumps(sorted(sys.modules)))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    loaded = set(json.loads(ran.stdout))
    agents_side = {"session", "agent", "voice_agent", "pipeline", "transports", "processors", "services"}
    assert not {"pipecat", "onnxruntime"} & {name.partition(".")[0] for name in loaded}
    assert not {f"piopiy_pipeline.{name}" for name in agents_side} & loaded
