"""`RoutedConnections`: admits WebSockets at the port as the `Router` says, and gives each to what serves its route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from piopiy_pipeline.gateway.access.access import Header
from piopiy_pipeline.gateway.access.failure_limiter import TOO_MANY, FailureLimiter
from piopiy_pipeline.gateway.agents.agent_media import AgentMedia
from piopiy_pipeline.gateway.agents.connection import AgentConnection
from piopiy_pipeline.gateway.agents.outgoing_audio import OutgoingAudio
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import PlaceCall
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.port.chat_callers import ChatCallers
from piopiy_pipeline.gateway.port.listening import AcceptedWebSocket
from piopiy_pipeline.gateway.port.router import (
    AgentRoute,
    CallerRoute,
    CarrierRoute,
    ChatRoute,
    MediaRoute,
    RequestRefused,
    Router,
    WatcherRoute,
)
from piopiy_pipeline.gateway.port.stream_leg import StreamLeg

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway

__all__ = ["RoutedConnections", "Watchers"]


class Watchers(Protocol):
    """Who watches the events of calls."""

    @property
    def full(self) -> bool:
        """Whether no more of them are taken."""

    def admit(
        self, connection: AcceptedWebSocket, header: Header, *, on_wrong_key: Callable[[], None]
    ) -> None:
        """Take one more, whose key is still to come."""


class RoutedConnections:
    """Admits WebSockets at the port, and gives each one to what serves its route.

    Args:
        config: The gateway's settings.
        switchboard: Its calls and instances.
        router: Decides who may connect to what.
        failures: Counts wrong keys, and blocks who has sent too many.
        place: Places the calls of callers over the gateway's own WebSocket.
        outgoing: Sends callers' audio to agents.
        events: Who watches the events of calls.
        chats: Who chats.
        carriers: The carriers' streams; None in a gateway that takes none.
    """

    def __init__(
        self,
        config: GatewayConfig,
        switchboard: Switchboard,
        router: Router,
        failures: FailureLimiter,
        *,
        place: PlaceCall,
        outgoing: OutgoingAudio,
        events: Watchers,
        chats: ChatCallers,
        carriers: CarrierGateway | None,
    ) -> None:
        self._config = config
        self._switchboard = switchboard
        self._router = router
        self._failures = failures
        self._place = place
        self._outgoing = outgoing
        self._events = events
        self._chats = chats
        self._carriers = carriers

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide on a handshake. Returns the refusal; None: the connection is admitted, and has its route."""
        assert isinstance(connection, AcceptedWebSocket)
        host, now = connection.host, asyncio.get_running_loop().time()
        if self._failures.blocks(host, now) and not request.path.startswith("/media/"):
            return connection.respond(HTTPStatus.TOO_MANY_REQUESTS, f"{TOO_MANY}\n")
        route = self._router.admit(request.path, request.headers)
        match route:
            case RequestRefused(status=status, text=text, wrong_key=wrong_key):
                if wrong_key:
                    self._failures.failed(host, now)
                response = connection.respond(status, text)
                if status is HTTPStatus.UNAUTHORIZED:
                    response.headers["WWW-Authenticate"] = "Bearer"
                return response
            case MediaRoute(call=call):
                # The agent may accept on its other connection before this one's handler has run:
                # the stream counts as open from here on.
                connection.ping_interval = None
                media = AgentMedia(
                    connection,
                    call.agent,
                    call_id=call.info.call_id,
                    leg_rate=call.leg.rate,
                    outgoing=self._outgoing,
                )
                call.agent.media_opened(media)
            case AgentRoute():
                connection.ping_interval = None
            case WatcherRoute() if self._events.full:
                return connection.respond(
                    HTTPStatus.SERVICE_UNAVAILABLE, "too many watch already: close another page\n"
                )
        if not isinstance(route, WatcherRoute | ChatRoute):  # its key is still to come
            connection.connections.admit(connection.transport)
        connection.route = route
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Give an admitted connection to what serves its route. Returns when it is closed."""
        assert isinstance(connection, AcceptedWebSocket)
        match connection.route:
            case AgentRoute(agent_ids=agent_ids, roaming=roaming, registers=registers):
                AgentConnection(
                    connection,
                    self._switchboard,
                    agent_ids=agent_ids,
                    heartbeat_s=self._config.heartbeat_s,
                    roaming=roaming,
                    registers=registers,
                )
            case CallerRoute(agent_id=agent_id):
                StreamLeg(
                    connection,
                    place=lambda leg, start: self._place(leg.call_info(agent_id, start), leg),
                    may_watch=self._config.callers_may_watch,
                )
            case ChatRoute(agent_id=agent_id):
                self._chats.open(connection, agent_id)
            case CarrierRoute(opening=opening) if self._carriers is not None:
                self._carriers.open(connection, opening)
            case WatcherRoute(header=header):
                host = connection.host
                self._events.admit(
                    connection,
                    header,
                    on_wrong_key=lambda: self._failures.failed(host, asyncio.get_running_loop().time()),
                )
        await connection.wait_closed()
