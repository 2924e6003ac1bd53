"""Digest authentication as it is written in headers: reading challenges and computing responses. No I/O.

It stands below the transactions, because a request that is challenged is sent again with the answer.
Passwords of others are checked in `agent.digest_gate`, with whose tests those of this module stand.

Source: RFC 3261, section 22; RFC 2617 and 7616; RFC 8760 (SHA-256 for SIP).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from piopiy_pipeline.gateway.sip.syntax.uri import quoted

__all__ = ["Challenge", "Credentials", "answer", "digest_response", "read_parameters"]

_MAX_PARAMETERS = 32
_SCHEME = re.compile(r"\s*([A-Za-z]+)\s+", re.ASCII)
_PARAMETER = re.compile(r'\s*([A-Za-z0-9_\-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")

_HASHES: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "sha-256": lambda data: hashlib.sha256(data).hexdigest(),
}


def read_parameters(value: str) -> dict[str, str]:
    """Read the parameters of a header value like ``Digest a="b", c=d``.

    Returns:
        The values by their names in lower case, without quotes.

    Raises:
        ValueError: The scheme is not Digest, or the parameters are malformed.
    """
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
    """The user name and password with which we answer a challenge."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate header that we received."""

    realm: str
    nonce: str
    algorithm: str
    opaque: str | None
    qop: bool
    """Whether `qop=auth` is offered."""
    stale: bool

    @classmethod
    def choose(cls, values: Sequence[str]) -> Challenge | None:
        """Choose the first challenge that we can answer (RFC 8760, section 2.4).

        Args:
            values: The header values in the order in which they came; at most eight are read.

        Returns:
            The challenge, or None if there is none that we can answer.
        """
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
    """Build the value of an Authorization or Proxy-Authorization header.

    Args:
        challenge: What was asked.
        credentials: Who we are there.
        method: The method of the request.
        uri: The Request-URI of the request.
        cnonce: The client nonce; a random one if it is empty.
        count: How often this nonce has been used, this use included.
    """
    cnonce = cnonce or secrets.token_hex(8)
    response = digest_response(
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


def digest_response(
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
    """Compute the ``response`` parameter of a digest (RFC 2617, section 3.2.2).

    Args:
        algorithm: MD5 or SHA-256, in any case.
        user: The name of the user.
        realm: The realm of the challenge.
        password: The user's password.
        method: The method of the request.
        uri: The digest URI.
        nonce: The nonce of the challenge.
        nc: The count of the nonce, 8 hexadecimal digits.
        cnonce: The client's nonce.
        qop: The quality of protection; empty for the form of RFC 2069, which leaves out `nc` and `cnonce`.

    Returns:
        The digest in hexadecimal.
    """
    digest = _HASHES[algorithm.lower()]

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode("utf-8", "surrogateescape"))

    ha1, ha2 = hashed(user, realm, password), hashed(method, uri)
    return hashed(ha1, nonce, nc, cnonce, qop, ha2) if qop else hashed(ha1, nonce, ha2)
