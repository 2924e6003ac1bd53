"""Checks passwords: it makes challenges, and checks the credentials that answer them. No I/O.

Nothing is stored about a peer that has only asked: a nonce is a time under our signature. What is stored is
how often a nonce was used, in a store of bounded size, so that recorded credentials cannot be sent again.

Source: RFC 3261, section 22; RFC 2617 and 7616; RFC 8760 (SHA-256 for SIP).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from piopiy_pipeline.gateway.sip.syntax.digest import digest_response, read_parameters
from piopiy_pipeline.gateway.sip.syntax.uri import quoted

__all__ = ["DigestGate", "Verdict"]

_NONCE_S = 300.0
_MAX_NONCES = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the check of a request's credentials."""

    outcome: Literal["missing", "stale", "wrong", "right"]
    user: str = ""


class DigestGate:
    """Makes challenges for one realm and checks the credentials that answer them.

    Args:
        realm: The name that phones show when they ask for the password.
        users: The passwords by user name.
        algorithms: The digests that are asked for, the preferred one first.
        secret: The key that signs nonces; a random one if it is None.
    """

    def __init__(
        self, *, realm: str, users: Mapping[str, str], algorithms: Sequence[str], secret: bytes | None = None
    ) -> None:
        self._realm, self._users = realm, users
        self._algorithms = tuple(algorithms)
        self._secret = secret or secrets.token_bytes(32)
        self._used: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """Return the values of the WWW-Authenticate headers, the preferred algorithm first. `now` is in
        seconds.
        """
        nonce = self._nonce(now)
        tail = ", stale=true" if stale else ""
        return [
            f'Digest realm={quoted(self._realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{tail}'
            for algorithm in self._algorithms
        ]

    def check(self, values: Sequence[str], *, method: str, now: float) -> Verdict:
        """Check the values of Authorization.

        The `uri` that was signed need not be the Request-URI: proxies rewrite that (RFC 3261, 22.4), and
        what was signed can be used once in any case.
        """
        for value in values[:8]:
            try:
                found = read_parameters(value)
            except ValueError:
                continue
            if found.get("realm") == self._realm:
                return self._check(found, method, now)
        return Verdict("missing")

    def _check(self, found: Mapping[str, str], method: str, now: float) -> Verdict:
        user, nonce, nc = found.get("username", ""), found.get("nonce", ""), found.get("nc", "")
        algorithm, qop = found.get("algorithm", "MD5"), found.get("qop", "")
        allowed = {name.lower() for name in self._algorithms}
        if qop.lower() not in ("", "auth") or algorithm.lower() not in allowed:
            return Verdict("wrong", user)
        issued = self._issued(nonce)
        if issued is None or not -1.0 <= now - issued <= _NONCE_S:
            return Verdict("stale", user)  # also a nonce of before our restart: ask again, do not accuse
        password = self._users.get(user)
        expected = digest_response(
            algorithm,
            user=user,
            realm=self._realm,
            password=password or "",
            method=method,
            uri=found.get("uri", ""),
            nonce=nonce,
            nc=nc,
            cnonce=found.get("cnonce", ""),
            qop=qop and "auth",
        )
        given = found.get("response", "").lower().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given) or password is None:
            return Verdict("wrong", user)
        return Verdict("right" if self._first_use(nonce, nc if qop else "") else "stale", user)

    def _first_use(self, nonce: str, nc: str) -> bool:
        """Return whether the count is higher than any before. Without counts, a nonce can be used once."""
        try:
            count = int(nc, 16) if nc else 1
        except ValueError:
            return False
        if count <= self._used.get(nonce, 0) or count >= 2**32:
            return False
        self._used[nonce] = count
        self._used.move_to_end(nonce)
        if len(self._used) > _MAX_NONCES:
            self._used.popitem(last=False)
        return True

    def _nonce(self, now: float) -> str:
        text = f"{int(now * 1000):x}.{secrets.token_hex(4)}"
        return f"{text}.{self._signature(text)}"

    def _issued(self, nonce: str) -> float | None:
        text, _, signature = nonce.rpartition(".")
        if not text.isascii() or not hmac.compare_digest(
            self._signature(text).encode(), signature.encode("utf-8", "surrogateescape")
        ):
            return None
        return int(text.partition(".")[0], 16) / 1000

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
            :32
        ]
