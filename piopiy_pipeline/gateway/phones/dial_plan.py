"""The dial plan: whom an agent or an operator may call, and which number of ours is shown. No I/O.

The configuration limits this, because a language model that was talked into it, or a stolen key, must not call
anybody it likes at the operator's expense. `sip.agent.location` then finds the next hop of what is allowed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from piopiy_pipeline.gateway.core.dialling import DialRefused
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.syntax.phone_numbers import dialled_number, matches_any
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri

__all__ = ["Destination", "DialPlan"]


class Destination(NamedTuple):
    """Somebody whom the gateway may call."""

    kind: Literal["phone", "uri", "number"]
    to: str
    """A user whose phone registers here, a ``sip:`` URI, or a number."""
    trunk: str | None = None
    """For a number: the trunk that takes it; None: no trunk takes it."""


class DialPlan:
    """Reads ``to`` as a contact, a user of the configuration, a ``sip:`` URI, or a number, in this order."""

    def __init__(self, config: SipConfig) -> None:
        self._config = config
        self._contacts = {name.casefold(): to for name, to in config.contacts.items()}

    def find(self, to: str) -> Destination:
        """Find the destination.

        Args:
            to: Whom to call, as an agent or an operator wrote it.

        Raises:
            DialRefused: `to` is no destination, or the configuration does not allow it.
        """
        contact = self._contacts.get(to.strip().casefold())
        found = self._read(to.strip() if contact is None else contact)
        if found is None:
            raise DialRefused(
                f"cannot call {to[:80]!r}: neither a contact or a user of the sip section, nor a number"
            )
        if contact is None:
            self._check(to, found)
        return found

    def caller_id(self, destination: Destination, from_number: str | None) -> str:
        """Return the number to show to the callee.

        Args:
            destination: Who is called.
            from_number: The number that was asked for.

        Returns:
            `from_number` if the trunk allows it, otherwise the first number of the trunk. An empty text stands
            for the trunk's own user, or for no number.
        """
        trunk = None if destination.trunk is None else self._config.trunks[destination.trunk]
        if trunk is None or not trunk.caller_ids:
            return from_number or ""
        shown = dialled_number(from_number or "") or ""
        return shown if shown and matches_any(trunk.caller_ids, shown) else trunk.caller_ids[0]

    def _read(self, to: str) -> Destination | None:
        if to in self._config.users:
            return Destination("phone", to)
        if to.lower().startswith(("sip:", "sips:")):
            try:
                return self._address(SipUri.parse(to))
            except ValueError as error:
                raise DialRefused(f"cannot call {to[:80]!r}: {error}") from None
        number = dialled_number(to)
        return None if number is None else Destination("number", number, self._trunk_for(number))

    def _address(self, uri: SipUri) -> Destination:
        """Return the destination of a URI. An address at the host of a trunk is called through that trunk."""
        for name, trunk in self._config.trunks.items():
            if uri.user and uri.host.lower() == trunk.host.lower() and uri.port in (None, trunk.port):
                return Destination("number", uri.user, name)
        return Destination("uri", uri.text)

    def _trunk_for(self, number: str) -> str | None:
        """Return the trunk with the longest prefix that fits; of equal ones the first in the configuration."""
        best, found = -1, None
        for name, trunk in self._config.trunks.items():
            for prefix in trunk.prefixes or [""]:
                if number.startswith(prefix) and len(prefix) > best:
                    best, found = len(prefix), name
        return found

    def _check(self, to: str, found: Destination) -> None:
        config = self._config
        asked_by_address = to.strip().lower().startswith(("sip:", "sips:"))
        if asked_by_address and not config.allow_uris:
            raise DialRefused(
                f"cannot call {to[:80]!r}: sip.allow_uris is off. Name it in sip.contacts, or allow it",
                "not_allowed",
            )
        if found.kind == "number" and not matches_any(config.dial_allowed, found.to):
            raise DialRefused(
                f"cannot call {to[:80]!r}: sip.dial_allowed has no pattern for {found.to[:80]!r}",
                "not_allowed",
            )
