"""The carriers of a gateway: it answers their webhooks, admits their streams, and ends their calls.

Only a gateway that has carriers imports it, because PyJWT and cryptography take a quarter of a second to load.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loguru import logger

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.access.access import AccessError, Header
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    RestCall,
)
from piopiy_pipeline.gateway.carriers.carrier_leg import CarrierLeg
from piopiy_pipeline.gateway.carriers.carrier_stream import CarrierStart, CarrierStream
from piopiy_pipeline.gateway.carriers.config import CARRIERS, CarriersConfig
from piopiy_pipeline.gateway.carriers.kit import with_scheme
from piopiy_pipeline.gateway.carriers.tickets import Ticket, Tickets
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.websocket import DirectServerConnection

if TYPE_CHECKING:
    import aiohttp
    from loguru import Logger

__all__ = ["CarrierGateway", "CarrierOpening"]

REST_S = 5.0
"""How long a carrier's API may take to end a call, in seconds."""
LOG_EVERY_S = 10.0
"""How often refused requests of a carrier are logged, at most. In between they are counted."""
REST_LIMIT = 64
"""How many calls are being ended over an API at a time. Of further calls only the stream is closed."""


@dataclass(frozen=True, slots=True)
class CarrierOpening:
    """A stream that was admitted and whose connection is about to open."""

    carrier: Carrier[Any]
    agent_id: str
    stream: CarrierStream
    ticket: Ticket | None

    def call_info(self, start: CarrierStart) -> CallInfo:
        """Return who calls whom. The metadata holds the operator's parameters, and under ``carrier`` the
        carrier's own ids.
        """
        call = self.ticket.call if self.ticket else CarrierCall()
        ids = {"call_id": start.call_id, "stream_id": start.stream_id, "account_id": start.account_id}
        carrier = {"name": self.carrier.name} | {name: value for name, value in ids.items() if value}
        parameters = {**start.parameters, **(self.ticket.parameters if self.ticket else {})}
        return CallInfo(
            agent_id=self.agent_id,
            call_id=str(uuid.uuid4()),
            # The numbers of the webhook come first, because they were signed.
            from_number=call.from_number or start.from_number,
            to_number=call.to_number or start.to_number,
            metadata={**parameters, "carrier": carrier},
            kind="phone",
        )


class CarrierGateway:
    """All carriers of a gateway. Runs on the gateway's event loop."""

    def __init__(
        self,
        config: CarriersConfig,
        *,
        agents: Collection[str],
        token_secret: str | None,
        wall: Callable[[], float],
        place: Callable[[CallInfo, Leg], object],
    ) -> None:
        """Args:
        config: The settings of all carriers.
        agents: The ids of the agents that this gateway knows.
        token_secret: The secret that tickets are signed with.
        wall: Unix time, in seconds.
        place: Places a call with the switchboard.
        """
        self._config = config
        self._agents = agents
        self._place = place
        self._wall = wall
        self._refused: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self._tickets = Tickets(token_secret, wall=wall)
        self._carriers = _carriers(config, wall)
        self._session: aiohttp.ClientSession | None = None
        self._hangups: set[asyncio.Task[None]] = set()
        self._closed = False

    # ------------------------------------------------------------------ webhooks and streams

    def answer(
        self, name: str, agent_id: str | None, method: str, target: str, header: Header, body: bytes
    ) -> Document:
        """Answer the webhook of a call.

        Args:
            name: The carrier's name.
            agent_id: The agent that the URL names; None for the one of the settings.
            method: The HTTP method.
            target: Path and query of the URL.
            header: Looks up a header of the request.
            body: The body of the request.

        Returns:
            What tells the carrier to stream the call to this gateway.

        Raises:
            AccessError: The request is refused. It carries an HTTP status and a sentence.
        """
        carrier = self._carrier(name)
        with self._logging_refusals(carrier):
            return self._answer(carrier, agent_id, method, target, header, body)

    def _answer(
        self,
        carrier: Carrier[Any],
        agent_id: str | None,
        method: str,
        target: str,
        header: Header,
        body: bytes,
    ) -> Document:
        request = CarrierRequest(method, self._config.public_url + target, header, body)
        carrier.check_answer(request)
        agent_id = self._agent(carrier, agent_id)
        ticket = self._tickets.mint(
            carrier.name, agent_id, carrier.incoming(request), carrier.parameters(request)
        )
        path = f"/carrier/{carrier.name}/{quote(agent_id, safe='')}/{ticket}"
        return carrier.document(with_scheme(self._config.public_url, websocket=True) + path)

    def admit(self, names: Sequence[str], target: str, header: Header) -> CarrierOpening:
        """Admit a stream, or refuse it before its WebSocket is open.

        Args:
            names: The parts of the path behind ``/carrier``: carrier, and maybe agent and ticket.
            target: Path and query of the URL.
            header: Looks up a header of the request.

        Raises:
            AccessError: The stream is refused. It carries an HTTP status and a sentence.
        """
        carrier = self._carrier(names[0])
        with self._logging_refusals(carrier):
            return self._admit(carrier, names, target, header)

    def _admit(
        self, carrier: Carrier[Any], names: Sequence[str], target: str, header: Header
    ) -> CarrierOpening:
        request = CarrierRequest("GET", self._config.public_url + target, header)
        ticketed = len(names) > 2
        if carrier.admission == "ticket" and not ticketed:
            raise AccessError(
                401,
                f"a stream of {carrier.name} needs a ticket: point its webhook to .../answer, which gives one",
            )
        if carrier.admission == "signature" or not ticketed:
            carrier.check_stream(request)
        agent_id = self._agent(carrier, names[1] if len(names) > 1 else None)
        ticket = None
        if ticketed:
            ticket = self._tickets.take(names[2], carrier=carrier.name, agent=agent_id)
        return CarrierOpening(
            carrier, agent_id, carrier.stream(request, ticket.call if ticket else None), ticket
        )

    def open(self, connection: DirectServerConnection, opening: CarrierOpening) -> None:
        """Make the leg of an admitted stream, whose connection is a WebSocket now."""

        call_id = ""

        def place(leg: CarrierLeg, start: CarrierStart) -> None:
            nonlocal call_id
            info = opening.call_info(start)
            call_id = info.call_id
            self._place(info, leg)

        CarrierLeg(
            connection,
            opening.stream,
            name=opening.carrier.name,
            place=place,
            hang_up=lambda start: self._hang_up(opening.carrier, start, call_id),
        )

    def _carrier(self, name: str) -> Carrier[Any]:
        carrier = self._carriers.get(name)
        if carrier is None:
            known = ", ".join(self._carriers)
            raise AccessError(404, f"this gateway has no carrier {name!r:.100}: there is {known}")
        return carrier

    def _agent(self, carrier: Carrier[Any], agent_id: str | None) -> str:
        chosen = agent_id or getattr(self._config, carrier.name).agent
        if chosen is None:
            raise AccessError(404, f"name an agent in the address, or set carriers.{carrier.name}.agent")
        if chosen not in self._agents:
            raise AccessError(404, f"this gateway has no agent {chosen!r:.200}")
        return str(chosen)

    @contextmanager
    def _logging_refusals(self, carrier: Carrier[Any]) -> Iterator[None]:
        """Log refusals, so that an operator finds a wrong setting, but not so many that a flood fills the log."""
        try:
            yield
        except AccessError as error:
            self._refused[carrier.name] += 1
            now = self._wall()
            # A clock that was set back must not keep refusals out of the log until it is as late again.
            if not 0 <= now - self._logged_at.get(carrier.name, -LOG_EVERY_S) < LOG_EVERY_S:
                self._logged_at[carrier.name] = now
                count = self._refused.pop(carrier.name)
                logger.warning(
                    "a request as of {} was refused ({} since last logged): {}",
                    carrier.name,
                    count,
                    error.text,
                )
            raise

    # ------------------------------------------------------------------ ends

    def _hang_up(self, carrier: Carrier[Any], start: CarrierStart, call_id: str) -> None:
        """End a call over the carrier's API, if that is set up, without waiting for it."""
        call = carrier.hangup(start)
        if call is None or self._closed:
            return
        log = logger.bind(call_id=call_id)
        if len(self._hangups) >= REST_LIMIT:
            log.warning("{} calls are being ended over carriers' APIs: one more is not", REST_LIMIT)
            return
        task = asyncio.create_task(self._ask(carrier.name, call, log), name=f"end a call of {carrier.name}")
        self._hangups.add(task)
        task.add_done_callback(self._hangups.discard)

    async def _ask(self, name: str, call: RestCall, log: Logger) -> None:
        await offload(import_module, "aiohttp")  # half a second, the first time
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_S))
        try:
            async with self._session.request(
                call.method, call.url, headers=call.headers, data=call.form or None, allow_redirects=False
            ) as answer:
                if not (200 <= answer.status < 300 or answer.status in call.over):
                    log.warning("{} did not end a call: it answered {}", name, answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("{} could not be asked to end a call: {!r:.300}", name, error)

    async def close(self) -> None:
        """Wait for the calls that are being ended, `REST_S` at most."""
        self._closed = True
        if self._hangups:
            await asyncio.wait(tuple(self._hangups), timeout=REST_S)
        for task in tuple(self._hangups):
            task.cancel()
        await asyncio.gather(*self._hangups, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _carriers(config: CarriersConfig, wall: Callable[[], float]) -> dict[str, Carrier[Any]]:
    """Make the carriers that have settings. The class `Twilio` is in the file ``twilio.py``, and so on."""
    found: dict[str, Carrier[Any]] = {}
    for name in CARRIERS:
        settings = getattr(config, name)
        if settings is not None:
            module = import_module(f"piopiy_pipeline.gateway.carriers.{name}")
            found[name] = getattr(module, name.capitalize())(settings, wall)
    return found
