"""Routes WebSocket handshakes by their path, and checks their tokens and origins before they are accepted. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from websockets.datastructures import Headers

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.access.access import Access, AccessError, Header, bearer_token, header_of
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.gateway_drain import DRAINING
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.liveness import WATCHDOG_QUERY

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway, CarrierOpening

__all__ = [
    "GREETING",
    "AgentRoute",
    "CallerRoute",
    "CarrierRoute",
    "ChatRoute",
    "MediaRoute",
    "RequestRefused",
    "Route",
    "Router",
    "WatcherRoute",
]

GREETING = (
    f"piopiy gateway {__version__}\n"
    f"Agents connect to /agent, callers to /call/<agent id>, both with a bearer token.\n"
    f"Try: piopiy call --say 'Hello'\n"
)


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The HTTP answer to a handshake that is refused."""

    status: HTTPStatus
    text: str
    wrong_key: bool = False
    """Whether a wrong key was sent, which counts as a guess. Media tokens do not count: each is used once."""


@dataclass(frozen=True, slots=True)
class AgentRoute:
    """An agent. Its token is good for `agent_ids`."""

    agent_ids: Collection[str]
    roaming: bool = False
    """Whether it is at home at another gateway, and was summoned for a call: its token is a ticket for that."""
    registers: bool = True
    """Whether it may register. A watchdog only says what blocks its agent, also while the gateway drains."""


@dataclass(frozen=True, slots=True)
class MediaRoute:
    """The media stream of `call`; its token is used up."""

    call: GatewayCall


@dataclass(frozen=True, slots=True)
class CallerRoute:
    """The route of a caller who calls this agent."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class ChatRoute:
    """The route of somebody who chats with this agent, and sends a token as a message."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class WatcherRoute:
    """The route of somebody who wants the events of calls, and sends an API key as a message."""

    header: Header


@dataclass(frozen=True, slots=True)
class CarrierRoute:
    """A carrier's stream, whose signature or ticket was checked; the ticket is used up."""

    opening: CarrierOpening


Route = AgentRoute | MediaRoute | CallerRoute | ChatRoute | WatcherRoute | CarrierRoute


class Router:
    """Decides on each handshake, by its path and ``Authorization: Bearer <token>``."""

    carriers: CarrierGateway | None = None
    """Decides on carriers' streams; None in a gateway that takes none."""

    def __init__(self, config: GatewayConfig, switchboard: Switchboard) -> None:
        self._access = Access(config)
        self._agents = config.agents
        self._caller_keys = config.caller_keys
        self._switchboard = switchboard

    def admit(self, target: str, headers: Headers) -> Route | RequestRefused:
        """Return where this handshake goes, or the refusal.

        Args:
            target: The target of the request: path and query.
            headers: Its headers.
        """
        try:
            parts = urlsplit(target)
        except ValueError:
            return RequestRefused(HTTPStatus.BAD_REQUEST, f"{target!r:.200} is no address\n")
        kind, _, rest = parts.path.removeprefix("/").partition("/")
        name = unquote(rest)
        match kind:
            case "" | "healthz" if not rest:  # `piopiy check` of 0.1.0 shakes hands here
                return RequestRefused(HTTPStatus.OK, GREETING)
            case "agent" if not rest:
                return self._agent(headers, registers=parts.query != WATCHDOG_QUERY)
            case "media" if name:
                return self._media(name, headers)
            case "call" if name:
                return self._caller(name, headers)
            case "chat" if name:
                return self._chat(name, headers)
            case "carrier" if name:
                return self._carrier(rest, target, headers)
            case "api" if name == "events":
                return self._watcher(headers)
        return RequestRefused(
            HTTPStatus.NOT_FOUND,
            f"nothing is at {target!r:.200}:"
            " there are /agent, /media/<call id>, /call/<agent id>, /chat/<agent id>, /carrier/<carrier>/<agent id>,"
            " /api/events\n",
        )

    def _agent(self, headers: Headers, *, registers: bool) -> AgentRoute | RequestRefused:
        token = _bearer(headers)
        if isinstance(token, RequestRefused):
            return token
        agent_ids = frozenset(_matching(token, self._agents.items()))
        if not agent_ids and (summoned := self._switchboard.resources.summoner.agent_of(token)) is not None:
            return AgentRoute(frozenset((summoned,)), roaming=True)
        if agent_ids and registers and self._switchboard.drain.sends_agents_away:
            return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"{DRAINING}: register at another one\n")
        if not agent_ids:
            return _unauthorized("this bearer token is that of no agent of this gateway", wrong_key=True)
        return AgentRoute(agent_ids, registers=registers)

    def _media(self, call_id: str, headers: Headers) -> MediaRoute | RequestRefused:
        token = _bearer(headers)
        if isinstance(token, RequestRefused):
            return token
        call = self._switchboard.call(call_id)
        if call is None or not call.agent.redeem(token):
            return _unauthorized("this media token is unknown, expired, or was used before")
        return MediaRoute(call)

    def _caller(self, agent_id: str, headers: Headers) -> CallerRoute | RequestRefused:
        token = _bearer(headers)
        if isinstance(token, RequestRefused):
            return token
        if not _matching(token, ((key, key) for key in self._caller_keys)):
            return _unauthorized("this bearer token is no caller key of this gateway", wrong_key=True)
        return self._refusal(agent_id) or CallerRoute(agent_id)

    def _chat(self, agent_id: str, headers: Headers) -> ChatRoute | RequestRefused:
        try:
            self._access.check_origin(header_of(list(headers.raw_items())))
        except AccessError as error:
            return RequestRefused(HTTPStatus(error.status), f"{error.text}\n")
        return self._refusal(agent_id) or ChatRoute(agent_id)

    def _refusal(self, agent_id: str) -> RequestRefused | None:
        """Return why there are no calls to this agent."""
        if agent_id not in self._agents:
            return RequestRefused(HTTPStatus.NOT_FOUND, f"this gateway has no agent {agent_id!r:.200}\n")
        if self._switchboard.drain.on:
            return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._switchboard.drain.refusal}\n")
        return None

    def _carrier(self, rest: str, target: str, headers: Headers) -> CarrierRoute | RequestRefused:
        names = [unquote(name) for name in rest.split("/")]
        if self.carriers is None:
            return RequestRefused(
                HTTPStatus.NOT_FOUND, "this gateway takes no carriers' streams: it has no carriers\n"
            )
        if len(names) > 3 or "" in names:
            return RequestRefused(
                HTTPStatus.NOT_FOUND, "a carrier's stream is at /carrier/<carrier>/<agent id>\n"
            )
        try:
            return CarrierRoute(self.carriers.admit(names, target, header_of(list(headers.raw_items()))))
        except AccessError as error:
            return RequestRefused(HTTPStatus(error.status), f"{error.text}\n")

    def _watcher(self, headers: Headers) -> WatcherRoute | RequestRefused:
        header = header_of(list(headers.raw_items()))
        try:
            self._access.check_origin(header)
        except AccessError as error:
            return RequestRefused(HTTPStatus(error.status), f"{error.text}\n")
        return WatcherRoute(header)


def _bearer(headers: Headers) -> str | RequestRefused:
    if len(headers.get_all("Authorization")) > 1:
        return _unauthorized("more than one Authorization header")
    return bearer_token(headers.get) or _unauthorized("send 'Authorization: Bearer <token>'")


def _matching(token: str, known: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names whose secret is `token`. Every one is compared, each in constant time."""
    presented = token.encode(errors="replace")
    return [name for name, secret in known if hmac.compare_digest(secret.encode(), presented)]


def _unauthorized(why: str, *, wrong_key: bool = False) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNAUTHORIZED, f"{why}\n", wrong_key)
