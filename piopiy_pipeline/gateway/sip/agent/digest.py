"""Digest authentication, both ways: asking phones for their password, and answering those who ask us.

Nothing is kept about who has only asked: a nonce is a time under our signature. What is kept is how
often a nonce was used, in a store of bounded size, so that nobody can send recorded credentials again.

Source: RFC 3261, section 22; RFC 2617 and 7616; RFC 8760 (SHA-256 for SIP).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from piopiy_pipeline.gateway.sip.syntax.uri import quoted

__all__ = ["Challenge", "Credentials", "DigestGate", "Verdict", "answer"]

_MAX_PARAMETERS = 32
_NONCE_S = 300.0
_MAX_NONCES = 10_000
_SCHEME = re.compile(r"\s*([A-Za-z]+)\s+", re.ASCII)
_PARAMETER = re.compile(r'\s*([A-Za-z0-9_\-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")

_HASHES: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "sha-256": lambda data: hashlib.sha256(data).hexdigest(),
}


def read_parameters(value: str) -> dict[str, str]:
    """The parameters of ``Digest a="b", c=d``. Raises `ValueError` for another scheme or what is none."""
    match = _SCHEME.match(value)
    if match is None or match.group(1).lower() != "digest":
        raise ValueError("no Digest")
    found: dict[str, str] = {}
    position = match.end()
    while position < len(value):
        parameter = _PARAMETER.match(value, position)
        if parameter is None or len(found) >= _MAX_PARAMETERS:
            raise ValueError("malformed Digest parameters")
        name, in_quotes, plain = parameter.groups()
        found.setdefault(name.lower(), plain if in_quotes is None else _ESCAPE.sub(r"\1", in_quotes))
        position = parameter.end()
    return found


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to somebody who asks."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What somebody asks us."""

    realm: str
    nonce: str
    algorithm: str
    opaque: str | None
    qop: bool
    """Whether `qop=auth` is offered."""
    stale: bool

    @classmethod
    def choose(cls, values: Sequence[str]) -> Challenge | None:
        """The first that we can answer (RFC 8760, 2.4); None: there is none."""
        for value in values[:8]:
            try:
                found = read_parameters(value)
            except ValueError:
                continue
            algorithm = found.get("algorithm", "MD5")
            offered = [name.strip().lower() for name in found.get("qop", "").split(",") if name.strip()]
            if algorithm.lower() in _HASHES and (not offered or "auth" in offered) and found.get("nonce"):
                return cls(
                    realm=found.get("realm", ""),
                    nonce=found["nonce"],
                    algorithm=algorithm,
                    opaque=found.get("opaque"),
                    qop=bool(offered),
                    stale=found.get("stale", "").lower() == "true",
                )
        return None


def answer(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    uri: str,
    cnonce: str = "",
    count: int = 1,
) -> str:
    """The value of Authorization or Proxy-Authorization; `count` is the nonce count of this nonce."""
    cnonce = cnonce or secrets.token_hex(8)
    response = _response(
        challenge.algorithm,
        user=credentials.user,
        realm=challenge.realm,
        password=credentials.password,
        method=method,
        uri=uri,
        nonce=challenge.nonce,
        nc=f"{count:08x}",
        cnonce=cnonce,
        qop="auth" if challenge.qop else "",
    )
    parts = [
        f"username={quoted(credentials.user)}",
        f"realm={quoted(challenge.realm)}",
        f"nonce={quoted(challenge.nonce)}",
        f"uri={quoted(uri)}",
        f'response="{response}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.qop:
        parts += ["qop=auth", f"nc={count:08x}", f'cnonce="{cnonce}"']
    if challenge.opaque is not None:
        parts.append(f"opaque={quoted(challenge.opaque)}")
    return "Digest " + ", ".join(parts)


def _response(
    algorithm: str,
    *,
    user: str,
    realm: str,
    password: str,
    method: str,
    uri: str,
    nonce: str,
    nc: str,
    cnonce: str,
    qop: str,
) -> str:
    digest = _HASHES[algorithm.lower()]

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode("utf-8", "surrogateescape"))

    ha1, ha2 = hashed(user, realm, password), hashed(method, uri)
    return hashed(ha1, nonce, nc, cnonce, qop, ha2) if qop else hashed(ha1, nonce, ha2)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request's credentials."""

    outcome: Literal["missing", "stale", "wrong", "right"]
    user: str = ""


class DigestGate:
    """Asks for passwords, and checks them."""

    def __init__(
        self, *, realm: str, users: Mapping[str, str], algorithms: Sequence[str], secret: bytes | None = None
    ) -> None:
        self._realm, self._users = realm, users
        self._algorithms = tuple(algorithms)
        self._secret = secret or secrets.token_bytes(32)
        self._used: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """The values of WWW-Authenticate, the preferred one first."""
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
        expected = _response(
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
        """Whether the count is higher than any before. Without counts, a nonce serves once."""
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
