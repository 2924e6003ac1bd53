"""`SharedPhones`: the phones that are registered here, for the other gateways of a cluster; and theirs, for this one.

A phone is called over the gateway where it registered, because its flow ends there. When that gateway is gone, or knows
nothing of the phone any more, or nothing is heard for a moment, the phone is called directly where its REGISTER came
from: that reaches one without a NAT before it, and of the others those whose NAT lets anybody in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.phones.registered_phone import PhoneDirectory, RegisteredPhone
from piopiy_pipeline.gateway.sip.agent.location import CannotCall, NextHop
from piopiy_pipeline.gateway.sip.agent.registrar import Binding
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint

__all__ = ["SharedPhones"]


class SharedPhones:
    """Use it in one event loop.

    Args:
        endpoint: Where phones register here.
        directory: The cluster's.
        host: The address by which other gateways reach `endpoint`.
        wall: The time in seconds since 1970.
    """

    def __init__(
        self,
        endpoint: SipEndpoint,
        directory: PhoneDirectory,
        host: str,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = endpoint
        self.directory = directory
        """Where the phones of all gateways are found."""
        self._host = host
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        endpoint.registrar.on_change = self._changed
        for user, phones in endpoint.registrar.all(self._loop.time()).items():
            self._changed(user, phones)

    async def hops(self, user: str) -> tuple[str, list[NextHop]]:
        """Find the ways to the phone of a user that registered last.

        Returns:
            The phone's address, and the ways to it in the order in which they are to be tried; none if nobody of this
            name is registered.
        """
        here = self._endpoint.registrar.find(user, self._loop.time())
        phone = await self.directory.find_phone(user)
        if phone is None or (phone.gateway == self.directory.gateway and here is not None):
            if here is None:
                return "", []
            return here.flow.host, [self._endpoint.location.next_hop(user, None, self._loop.time())]
        flow = Flow(phone.transport, phone.host, phone.port)
        paths = [""]
        if phone.gateway != self.directory.gateway and self.directory.is_there(phone.gateway):
            paths = [phone.path, ""]
        hops = []
        for path in paths:
            try:
                hops.append(self._endpoint.location.elsewhere(phone.contact, flow, path))
            except CannotCall as error:
                logger.debug("sip: a way to {!r} cannot be used: {}", user, error)
        return flow.host, hops

    def _changed(self, user: str, phones: tuple[Binding, ...]) -> None:
        ahead_s = self._wall() - self._loop.time()
        self.directory.keep_phones(
            user,
            [
                RegisteredPhone(
                    gateway=self.directory.gateway,
                    contact=one.uri,
                    transport=one.flow.transport,
                    host=one.flow.host,
                    port=one.flow.port,
                    path=self._endpoint.path(one.flow, self._host),
                    registered_at=one.registered_at + ahead_s,
                    expires_at=one.expires_at + ahead_s,
                )
                for one in phones
                if len(one.uri) <= 1024
            ],
        )
