"""The registrar: phones register here, and calls to a user go to the phone that registered last. No I/O.

Source: RFC 3261, section 10.3; a phone is called back where its REGISTER came from, as NATs demand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr, SipUri

__all__ = ["Binding", "Registrar", "RegistrarAnswer"]

_MAX_BINDINGS = 8
_MAX_FLOWS = 10_000
MIN_EXPIRES_S, MAX_EXPIRES_S, DEFAULT_EXPIRES_S = 30, 86_400, 3600


@dataclass(frozen=True, slots=True)
class Binding:
    """The registered address of one phone. Times are in seconds of the event loop's clock."""

    uri: str
    flow: Flow
    call_id: str
    sequence: int
    expires_at: float
    registered_at: float


@dataclass(frozen=True, slots=True)
class RegistrarAnswer:
    """The response to a REGISTER: its status, and its headers."""

    code: int
    headers: tuple[tuple[str, str], ...] = ()
    phrase: str = ""


class Registrar:
    """The registered phones of users. Their passwords have been checked before."""

    def __init__(self) -> None:
        self.on_change: Callable[[str, tuple[Binding, ...]], None] | None = None
        """Called with a user and all of the user's phones when one of them was registered or removed."""
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._flows: dict[Flow, float] = {}

    def register(self, request: SipRequest, user: str, source: Flow, now: float) -> RegistrarAnswer:
        """Handle a REGISTER: add, refresh, remove or list the phones of a user.

        Args:
            request: The REGISTER.
            user: The user who gave the password.
            source: Where the request came from: calls to this phone go there.
            now: The time in seconds.

        Raises:
            ValueError: A header of the request cannot be used.
        """
        contacts = request.listed("Contact")
        default = _seconds(request.get("Expires"), DEFAULT_EXPIRES_S)
        held = self._live(user, now)
        if contacts == ["*"]:
            if default != 0:
                raise ValueError("Contact: * goes with Expires: 0 only")
            if any(not _newer(request, binding) for binding in held.values()):
                return RegistrarAnswer(500)
            held.clear()
        else:
            changes = [self._change(entry, default, request, source, now) for entry in contacts]
            for key, binding in changes:
                known = held.get(key)
                if known is not None and not _newer(request, known):
                    return RegistrarAnswer(500)
                if 0 < binding.expires_at - now < MIN_EXPIRES_S:
                    return RegistrarAnswer(423, (("Min-Expires", str(MIN_EXPIRES_S)),))
            for key, binding in changes:
                if binding.expires_at <= now:
                    held.pop(key, None)
                else:
                    held.pop(key, None)  # so that the newest is the last
                    held[key] = binding
            while len(held) > _MAX_BINDINGS:
                held.pop(next(iter(held)))
        if held:
            self._bindings[user] = held
        else:
            self._bindings.pop(user, None)
        self._note(source, held, now)
        if contacts and self.on_change is not None:
            self.on_change(user, tuple(held.values()))
        listed = tuple(
            ("Contact", f"<{b.uri}>;expires={max(1, round(b.expires_at - now))}") for b in held.values()
        )
        return RegistrarAnswer(200, listed)

    def find(self, user: str, now: float) -> Binding | None:
        """Return the phone of this user that registered last; None if no phone is registered."""
        held = self._live(user, now)
        return next(reversed(held.values()), None)

    def all(self, now: float) -> dict[str, tuple[Binding, ...]]:
        """Return the registered phones by user, the one that registered last behind the others."""
        live = {user: tuple(self._live(user, now).values()) for user in self._bindings}
        return {user: phones for user, phones in live.items() if phones}

    def here(self, flow: Flow, now: float) -> bool:
        """Return whether a phone is registered from this flow. The time for this does not depend on the
        number of phones.
        """
        return self._flows.get(flow, now) > now

    def count(self, now: float) -> int:
        """Return how many phones are registered."""
        return sum(len(self._live(user, now)) for user in list(self._bindings))

    def _live(self, user: str, now: float) -> dict[str, Binding]:
        return {k: b for k, b in self._bindings.get(user, {}).items() if b.expires_at > now}

    def _note(self, source: Flow, held: dict[str, Binding], now: float) -> None:
        self._flows.pop(source, None)
        until = max((b.expires_at for b in held.values() if b.flow == source), default=now)
        if until > now:
            self._flows[source] = until
        if len(self._flows) > _MAX_FLOWS:  # as behind a router that gives a phone another port each time
            self._flows = {flow: at for flow, at in self._flows.items() if at > now}
            while len(self._flows) > _MAX_FLOWS:
                del self._flows[next(iter(self._flows))]

    @staticmethod
    def _change(
        entry: str, default: int, request: SipRequest, source: Flow, now: float
    ) -> tuple[str, Binding]:
        contact = NameAddr.parse(entry)
        uri = SipUri.parse(contact.uri)
        if not uri.host:
            raise ValueError(f"a Contact that cannot be called: {contact.uri[:80]!r}")
        expires = _seconds(contact.parameters.get("expires", ""), default)
        key = f"{uri.scheme}:{uri.user}@{uri.host.lower()}:{uri.port}"
        text = contact.uri.partition("?")[0]
        return key, Binding(text, source, request.call_id, request.cseq.sequence, now + expires, now)


def _newer(request: SipRequest, binding: Binding) -> bool:
    """Return whether a REGISTER counts: one that was overtaken by a later one changes nothing (section 10.3,
    step 7).
    """
    return request.call_id != binding.call_id or request.cseq.sequence > binding.sequence


def _seconds(text: str, default: int) -> int:
    """Parse a number of seconds. A malformed value counts as an hour (section 20.19)."""
    text = text.strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        return DEFAULT_EXPIRES_S
    return min(int(text[:9]), MAX_EXPIRES_S)
