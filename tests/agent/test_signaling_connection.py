"""The agent's end of a signaling connection over real sockets."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from piopiy_pipeline.agent.gateway_connection import GatewayConnection
from piopiy_pipeline.agent.signaling_connection import GatewayListener, SignalingConnection
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol
from piopiy_pipeline.signaling.liveness import SIGNALING_FEATURES, SIGNALING_FEATURES_HEADER
from piopiy_pipeline.signaling.messages import Control, Move
from piopiy_pipeline.transports.link import WebSocketLink
from tests.support.agents import logged
from tests.support.calls import eventually


def _nothing(*_: object) -> None: ...


def _protocol(_: SignalingConnection, now: float) -> AgentProtocol:
    return AgentProtocol(agent_id="desk", instance_id="one", capacity=1, version="", now=now)


IDLE = GatewayListener(
    make_protocol=_protocol, on_message=_nothing, on_lost=_nothing, on_closing=_nothing, on_cancelled=_nothing
)
"""An agent that does nothing by itself."""


@pytest.mark.parametrize(
    ("features", "read"),
    [
        (None, ["control.hold"]),
        ("liveness, moves", ["move", "control.hold"]),
        (SIGNALING_FEATURES, ["control.clean_sound", "move", "control.hold"]),
    ],
)
def test_an_older_gateway_is_sent_nothing_over_which_it_would_end_the_connection(
    features: str | None, read: list[str]
) -> None:
    async def story() -> tuple[list[str], list[str]]:
        got: list[str] = []
        complete, registered = asyncio.Event(), asyncio.Event()

        async def older(socket: ServerConnection) -> None:
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "register":
                    registered.set()
                else:
                    got.append(".".join(filter(None, (message["type"], message.get("what")))))
                if message.get("what") == "hold":
                    complete.set()

        def name_features(_: ServerConnection, __: Request, response: Response) -> Response:
            assert response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
            if features is not None:
                response.headers[SIGNALING_FEATURES_HEADER] = features
            return response

        async with serve(older, "127.0.0.1", 0, process_response=name_features) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            connection, closing = SignalingConnection(url, "token", IDLE), asyncio.Event()
            serving = asyncio.create_task(connection.serve(closing))
            await asyncio.wait_for(registered.wait(), 30)
            with logged() as lines:
                connection.post(Control(call_id="c", what="clean_sound", on=True))
                connection.post(Move(call_id="c"))
                connection.post(Control(call_id="c", what="hold", on=True))
            await asyncio.wait_for(complete.wait(), 30)
            closing.set()
            await serving
        return got, [text for _, text in lines]

    got, told = asyncio.run(story())
    assert got == read
    assert len(told) == 3 - len(read)
    assert all("the gateway is older, and does not know it" in text for text in told)


@pytest.mark.parametrize("host", [None, "127.0.0.1"])
@pytest.mark.parametrize("location", ["ws://127.0.0.1:9/agent", "wss://a..b/agent", "ws://[::1/agent"])
def test_where_a_redirect_leads_is_told_and_nobody_goes_there(location: str, host: str | None) -> None:
    def redirect(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = location
        return response

    async def nobody(_: ServerConnection) -> None: ...

    async def story() -> None:
        async with serve(nobody, "127.0.0.1", 0, process_request=redirect) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(InvalidStatus, match="HTTP 302"):
                await SignalingConnection(url, "token", IDLE, host=host).serve(asyncio.Event())
            with pytest.raises(InvalidStatus, match="HTTP 302"):
                await WebSocketLink.open(
                    f"{url}/media/one", "token", caller_rate=8000, bot_rate=8000, timeout_s=30, host=host
                )
            closing = asyncio.Event()
            with logged() as lines:
                serving = asyncio.create_task(GatewayConnection([url], "token", "desk", IDLE).serve(closing))
                told = f"HTTP 302: it leads to {location}: give that address, without /agent"
                await eventually(lambda: any(told in text for _, text in lines))
                closing.set()
                await serving

    asyncio.run(story())
