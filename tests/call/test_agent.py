"""The agent and its gateway: wrong tokens, restarts, more callers than places, and agents that die.

In real time, because what is tested are connections between processes: sockets that close, and who notices when.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from piopiy_pipeline.agent.agent import Agent, AuthenticationError
from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.agent_assignment import RECOVERY_S
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.session import Call, resumable_state
from piopiy_pipeline.testing import Caller, CallerLine, Habits
from tests.support.agents import apart, logged
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, AUDIO, KEY, TOKEN, CallLog, House, eventually, house
from tests.support.services import ScriptedLLM

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

TAKES_CALLS_S = 2.5
"""Two seconds after its gateway's start, an agent takes calls; and a busy machine may take a little longer."""


async def greets(call: Call) -> None:
    await (await voice(call, greeting="Hello there.")).start()


async def talks(call: Call) -> None:
    await (await voice(call, greeting=LONG)).start()


def config(**settings: Any) -> GatewayConfig:
    defaults = {
        "port": 0,
        "agents": {AGENT_ID: TOKEN},
        "caller_keys": [KEY],
        "callers_may_watch": True,
        "records": False,
        "webrtc_workers": 0,
    }
    return GatewayConfig(**{**defaults, **settings})


@contextlib.asynccontextmanager
async def serving(agent: Agent) -> AsyncIterator[asyncio.Task[None]]:
    """The agent at work; shut down at the end."""
    task = asyncio.create_task(agent.connect())
    try:
        yield task
    finally:
        await agent.shutdown()
        await asyncio.wait_for(task, 15)


@pytest.mark.parametrize(
    ("agent_id", "token", "says"),
    [(AGENT_ID, "wrong", "token"), ("somebody-else", TOKEN, "somebody-else")],
)
@pytest.mark.three_services("nobody calls the agent")
def test_a_wrong_token_or_id_is_an_error_at_once(agent_id: str, token: str, says: str) -> None:
    async def scenario() -> None:
        async with Gateway(config()) as gateway:
            agent = Agent(agent_id, token, greets, signaling_url=gateway.url)
            with pytest.raises(AuthenticationError, match=says) as refused:
                await asyncio.wait_for(agent.connect(), 10)
            assert token not in str(refused.value), "what is secret stays so"

    asyncio.run(scenario())


@pytest.mark.three_services("it is about the connection of agent and gateway")
def test_a_gateway_that_is_not_there_is_waited_for_and_said_to_be_missing_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

    async def scenario() -> None:
        agent = Agent(AGENT_ID, TOKEN, greets, signaling_url=f"ws://127.0.0.1:{port}")
        with logged() as lines:
            async with serving(agent):
                for _ in range(2):  # at the start, and when the gateway was there and has gone
                    await eventually(lambda: missing(lines), 10)
                    await eventually(waits_its_longest(agent), 20)
                    assert len(missing(lines)) == 1
                    lines.clear()
                    async with Gateway(config(port=port)) as gateway:
                        await gateway.wait_for_agent(AGENT_ID, TAKES_CALLS_S)
                        log = await House(gateway, agent).call(hangup_after_s=0.3)
                        assert log.texts("bot") == ["Hello there."]

    asyncio.run(scenario())


def waits_its_longest(agent: Agent) -> Callable[[], bool]:
    """The agent has tried for so long that it waits as long as it ever does between two attempts."""
    backoff = agent._connection._backoff
    return lambda: backoff._next_s >= backoff._longest_s


def missing(lines: list[tuple[str | None, str]]) -> list[str]:
    return [line for _, line in lines if line.startswith("WARNING no gateway at")]


@pytest.mark.three_services("the gateway counts places")
def test_with_one_place_the_second_caller_is_told_busy() -> None:
    async def scenario() -> None:
        async with house(talks, capacity=1) as place:
            first, hang_up = CallLog(16000), asyncio.Event()
            calling = asyncio.create_task(place.call(log=first, hang_up=hang_up))
            await eventually(lambda: first.heard.size > 0, 10)
            assert (await place.call()).reason is EndReason.BUSY
            hang_up.set()
            await calling
            assert first.reason is EndReason.CALLER_HANGUP
            await eventually(lambda: place.agent.active == 0, 10)
            again, hang_up = CallLog(16000), asyncio.Event()
            calling = asyncio.create_task(place.call(log=again, hang_up=hang_up))
            await eventually(lambda: again.heard.size > 0, 10)
            hang_up.set()
            await calling

    asyncio.run(scenario())


def test_shutdown_ends_the_calls_with_that_reason() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        ends.append(await (await voice(call, greeting=LONG)).start())

    async def scenario() -> None:
        async with house(bot) as place:
            log = CallLog(16000)
            calling = asyncio.create_task(place.call(log=log))
            await eventually(lambda: log.heard.size > 0, 10)
            await place.agent.shutdown()
            await calling
            assert log.reason is EndReason.SHUTDOWN
            assert [call.reason for call in place.ended()] == [EndReason.SHUTDOWN]
            await eventually(lambda: [end.reason for end in ends] == [EndReason.SHUTDOWN])

    asyncio.run(scenario())


def test_draining_lets_the_call_in_progress_finish_and_takes_no_other() -> None:
    async def scenario() -> None:
        async with house(greets) as place:
            log = CallLog(16000)
            calling = asyncio.create_task(place.call(log=log, hangup_after_s=2.0))
            await eventually(lambda: log.heard.size > 0, 10)
            place.agent.drain()
            assert (await place.call()).reason is EndReason.BUSY
            await calling
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.texts("bot") == ["Hello there."]
            await eventually(lambda: not place.gateway.switchboard.instances.of(AGENT_ID), 10)

    asyncio.run(scenario())


def test_the_gateway_s_reason_is_the_one_that_the_author_learns() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        ends.append(await (await voice(call, greeting=LONG)).start())

    async def scenario() -> None:
        async with house(bot, max_duration_s=0.5) as place:
            logs = await asyncio.gather(*(place.call() for _ in range(10)))
            assert {log.reason for log in logs} == {EndReason.MAX_DURATION}
            await eventually(lambda: len(ends) == 10, 10)
        assert {end.reason for end in ends} == {EndReason.MAX_DURATION}

    asyncio.run(scenario())


@pytest.mark.three_services("no bot is left")
def test_an_agent_that_dies_without_a_second_instance_is_lost_and_the_caller_is_told() -> None:
    async def scenario() -> None:
        async with apart() as place:
            log = CallLog(16000)
            calling = asyncio.create_task(
                place.call(log=log, metadata={"bot": "talks"}, hangup_after_s=RECOVERY_S + 20)
            )
            await eventually(lambda: log.heard.size > 0, 10)
            place.process.kill()
            await asyncio.wait_for(calling, RECOVERY_S + 10)
            assert log.reason is EndReason.AGENT_LOST

    asyncio.run(scenario())


def test_when_an_agent_dies_in_mid_call_the_caller_goes_on_with_another_that_knows_what_was_said() -> None:
    contexts: list[list[Any]] = []

    async def scenario() -> None:
        taken_over = asyncio.Event()

        async def second(call: Call) -> None:
            agent = await voice(call, texts=["goodbye then"], replies=["Goodbye."], greeting="Never said.")
            taken_over.set()
            await agent.start()
            assert agent.context is not None
            contexts.append(agent.context.get_messages())

        async def waits(_: CallerLine) -> None:
            await taken_over.wait()

        caller = Caller((waits,), Habits(hangup_after_s=2.0)).say(AUDIO / "booking/03-yes.wav")
        async with apart() as place:
            log = CallLog(16000)
            calling = asyncio.create_task(
                place.place(caller, log, metadata={"bot": "talks", "text": "Good evening."})
            )
            await eventually(lambda: log.texts("bot"), 10)
            other = Agent(AGENT_ID, TOKEN, second, signaling_url=place.gateway.url)
            async with serving(other):
                await eventually(lambda: len(place.gateway.switchboard.instances.of(AGENT_ID)) == 2, 10)
                place.process.kill()
                await calling
                await eventually(lambda: contexts, 10)
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.texts("bot") == ["Good evening.", "Goodbye."]
            assert [(m["role"], m["content"]) for m in contexts[0]][1:] == [
                ("assistant", "Good evening."),
                ("user", "goodbye then"),
                ("assistant", "Goodbye."),
            ]

    asyncio.run(scenario())


def test_a_caller_whose_conversation_a_newer_agent_has_left_is_greeted_again_and_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resumable_state, "VERSION", resumable_state.VERSION - 1)  # of the second instance
    resumed: list[Any] = []

    async def second(call: Call) -> None:
        resumed.append(call.resumed)
        await (await voice(call, greeting="Hello again.")).start()

    async def scenario() -> None:
        async with apart() as place:
            log = CallLog(16000)
            caller = Caller().until("hello again", timeout_s=30).hangup()
            calling = asyncio.create_task(
                place.place(caller, log, metadata={"bot": "talks", "text": "Good evening."})
            )
            await eventually(lambda: log.texts("bot"), 10)
            other = Agent(AGENT_ID, TOKEN, second, signaling_url=place.gateway.url)
            async with serving(other):
                await eventually(lambda: len(place.gateway.switchboard.instances.of(AGENT_ID)) == 2, 10)
                place.process.kill()
                await calling
            assert log.reason is EndReason.CALLER_HANGUP
            assert resumed == [None]
            assert log.texts("bot") == ["Good evening.", "Hello again."]

    asyncio.run(scenario())


def test_an_answer_that_an_agent_died_in_is_given_by_the_other() -> None:
    asked: list[list[Any]] = []

    async def second(call: Call) -> None:
        llm = ScriptedLLM(["Here I am again."])
        await (await voice(call, llm=llm)).start()
        asked.extend(llm.asked)

    async def scenario() -> None:
        async with apart() as place:
            log, hang_up = CallLog(16000), asyncio.Event()
            calling = asyncio.create_task(
                place.call(
                    "booking/03-yes.wav",
                    log=log,
                    metadata={"bot": "answers_at_length"},
                    hangup_after_s=60,
                    hang_up=hang_up,
                )
            )
            await eventually(lambda: log.heard.size > 0, 20)  # the first one has the call
            other = Agent(AGENT_ID, TOKEN, second, signaling_url=place.gateway.url)
            async with serving(other):
                await eventually(lambda: len(place.gateway.switchboard.instances.of(AGENT_ID)) == 2, 10)
                await eventually(lambda: log.of("turn"), 20)  # the answer has begun: hardly a word is heard
                place.process.kill()
                await eventually(lambda: log.texts("bot")[-1:] == ["Here I am again."], 20)
                hang_up.set()
                await calling
                await eventually(lambda: asked, 10)
            greeting, *begun, _ = log.texts("bot")
            assert greeting == "Hello."
            assert all(LONG.startswith(text) for text in begun), "on a busy machine some of it was heard"
            assert [message["content"] for message in asked[0] if message["role"] == "user"] == [
                "a table please"
            ]

    asyncio.run(scenario())


def test_a_lost_connection_to_the_gateway_is_the_reason_that_the_author_learns_and_the_call_goes_on() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        ends.append(await (await voice(call, greeting=LONG)).start())

    async def scenario() -> None:
        async with house(bot) as place:
            log = CallLog(16000)
            calling = asyncio.create_task(place.call(log=log))
            await eventually(lambda: log.heard.size > 0, 10)
            socket = place.agent._connection.home._socket
            assert socket is not None
            socket.transport.abort()
            await eventually(lambda: ends, 10)
            assert [end.reason for end in ends] == [EndReason.AGENT_LOST]
            await calling
            assert log.reason is EndReason.CALLER_HANGUP
            await eventually(lambda: len(ends) == 2, 10)
            [ended] = place.ended()
            assert (ended.losses, ended.reason) == (1, EndReason.CALLER_HANGUP)

    asyncio.run(scenario())


@pytest.mark.three_services("nobody calls the agent")
def test_a_wrong_server_is_said_once_and_an_agent_connects_once() -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n" + b"x" * 5000
        )
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            agent = Agent(AGENT_ID, TOKEN, greets, signaling_url=f"ws://127.0.0.1:{port}")
            with logged() as lines:
                async with serving(agent):
                    await eventually(lambda: len(asked) >= 3, 10)
            (line,) = missing(lines)
            assert "HTTP 502" in line
            assert len(line) < 500
            with pytest.raises(RuntimeError, match="make another Agent"):
                await agent.connect()

    asyncio.run(scenario())


@pytest.mark.three_services("nobody calls the agent")
def test_an_agent_that_is_shut_down_before_it_connects_does_not_connect() -> None:
    async def scenario() -> None:
        agent = Agent(AGENT_ID, TOKEN, greets, signaling_url="ws://127.0.0.1:1")
        await agent.shutdown()
        await asyncio.wait_for(agent.connect(), 1)

    asyncio.run(scenario())


@pytest.mark.three_services("nobody calls the agent")
def test_a_password_in_the_gateway_s_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="agent_token is the credential") as refused:
        Agent(AGENT_ID, TOKEN, greets, signaling_url="ws://me:secret@gateway.example")
    assert "secret" not in str(refused.value)
