"""The location service: it finds where a phone, a URI or a number is reached. No I/O. Source: RFC 3261,
section 10.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.syntax.flow import Flow, flow_of
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr, SipUri, escaped_user

__all__ = ["CannotCall", "LocationService", "NextHop"]

_MAX_NUMBER = 128


class CannotCall(GatewayError):
    """The number or URI to be called cannot be reached; the text says why."""


class NextHop(NamedTuple):
    """Where an INVITE goes, and what it says."""

    uri: str
    """The Request-URI."""
    flow: Flow
    credentials: Credentials | None
    host: str
    """The host of our From."""
    user: str
    """The user of our From when the call names none."""
    or_else: Flow | None = None
    """Where the INVITE goes when the connection of `flow` is gone."""
    route: str = ""
    """The URI of a proxy that the INVITE goes through first; empty: none."""


class LocationService:
    """Finds the next hop of calls.

    Args:
        config: Names the trunks.
        registrar: Knows the phones that are registered.
        address_for: Gives the address by which the peer at an address reaches us.
    """

    def __init__(self, config: SipConfig, registrar: Registrar, address_for: Callable[[str], str]) -> None:
        self._trunks = config.trunks
        self._registrar = registrar
        self._address_for = address_for

    def next_hop(self, to: str, trunk: str | None, now: float) -> NextHop:
        """Find where a call goes.

        Args:
            to: The user of a registered phone, a ``sip:`` URI, or a number.
            trunk: The name of the trunk to call through; None: the first one, where a trunk is needed.
            now: The time in seconds.

        Raises:
            CannotCall: `to` cannot be reached.
        """
        if trunk is not None:
            return self._through(trunk, to)
        binding = self._registrar.find(to, now)
        if binding is not None:
            own = self._address_for(binding.flow.host)
            or_else = flow_of(binding.uri, binding.flow) if binding.flow.reliable else None
            return NextHop(binding.uri, binding.flow, None, own, "", or_else)
        if to.lower().startswith(("sip:", "sips:")):
            return self._direct(to)
        first = next(iter(self._trunks), None)
        if first is None:
            raise CannotCall(
                f"{to!r} is neither a registered phone nor a sip: URI, and there is no trunk to call through"
            )
        return self._through(first, to)

    def credentials(self, kept: KeptDialog) -> Credentials | None:
        """Return how a call that another process has begun answers a challenge; None: it cannot.

        Args:
            kept: Its dialog. In a call of ours through a trunk, the host of our address is the trunk's. One that came
                from a trunk may have come from an address that is known later than the call goes on.

        Raises:
            ValueError: Our address cannot be read.
        """
        found = [trunk for trunk in self._trunks.values() if trunk.user == kept.account and trunk.credentials]
        if not found:
            return None
        if kept.direction == "in":
            return next((one for one in found if one.host == kept.host), found[0]).credentials
        host = SipUri.parse(NameAddr.parse(kept.local).uri).host.lower()
        return next((one.credentials for one in found if one.host.lower() == host), None)

    def elsewhere(self, uri: str, flow: Flow, path: str) -> NextHop:
        """Return the next hop of a call to a phone that is registered at another gateway.

        Args:
            uri: The phone's Contact.
            flow: Where its REGISTER came from.
            path: The URI that leads to it through that gateway; empty: the phone is called without it.

        Raises:
            CannotCall: One of them cannot be used.
        """
        try:
            # Of a connection, nobody but the gateway has the other end.
            direct = flow_of(uri, flow) if flow.reliable else flow
            to = flow_of(path, Flow("udp", "", 5060)) if path else direct
        except ValueError as error:
            raise CannotCall(str(error)) from None
        return NextHop(uri, to, None, self._address_for(to.host), "", None, path)

    def _direct(self, uri: str) -> NextHop:
        if not uri.isascii():  # nothing else can be sent
            raise CannotCall(f"no URI: {uri[:80]!r}")
        try:
            flow = flow_of(uri, Flow("udp", "", 5060))
        except ValueError as error:
            raise CannotCall(str(error)) from None
        return NextHop(uri, flow, None, self._address_for(flow.host), "")

    def _through(self, name: str, to: str) -> NextHop:
        trunk = self._trunks.get(name)
        if trunk is None:
            raise CannotCall(f"there is no trunk {name!r}")
        number = to[4:] if to.lower().startswith("tel:") else to
        if not number or any(c.isspace() or not c.isprintable() for c in number) or len(number) > _MAX_NUMBER:
            raise CannotCall(f"no number: {to[:60]!r}")
        host = f"[{trunk.host}]" if ":" in trunk.host else trunk.host
        transport = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
        return NextHop(
            f"sip:{escaped_user(number)}@{host}:{trunk.port}{transport}",
            Flow(trunk.transport, trunk.host, trunk.port),
            trunk.credentials,
            trunk.host,
            trunk.user or "",
        )
