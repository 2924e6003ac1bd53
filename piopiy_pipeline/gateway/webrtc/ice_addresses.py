"""At which addresses browsers are told to find us. No I/O, and nothing of aioice: the settings ask here too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

__all__ = ["IceAddresses", "tell_public"]

_CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ \S+ \d+ )(\S+)( \d+ typ host\b)", re.MULTILINE)
_CONNECTION = re.compile(r"^(c=IN IP[46] )(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IceAddresses:
    """`own` are this machine's that are used, none for all; `public` what the world calls some of them."""

    own: Sequence[str] = ()
    public: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, settings: Sequence[str]) -> IceAddresses:
        """Of ``10.0.0.5``, or ``10.0.0.5=203.0.113.7`` behind a one-to-one NAT. Raises `ValueError`."""
        own: list[str] = []
        public: dict[str, str] = {}
        for setting in settings:
            mine, equals, theirs = (part.strip() for part in setting.partition("="))
            try:
                address = str(ip_address(mine))
                if equals:
                    public[address] = str(ip_address(theirs))
            except ValueError:
                raise ValueError(
                    f"{setting!r} is no address: write 10.0.0.5, or 10.0.0.5=203.0.113.7 where the world"
                    " knows this machine's 10.0.0.5 as 203.0.113.7"
                ) from None
            own.append(address)
        return cls(tuple(own), public)


def tell_public(sdp: str, public: Mapping[str, str]) -> str:
    """An answer in which our own addresses have their public names."""

    def named(line: re.Match[str]) -> str:
        return line[1] + public.get(line[2], line[2]) + (line[3] if line.re is _CANDIDATE else "")

    if not public:
        return sdp
    lines = sdp.replace("\r\n", "\n")
    return _CONNECTION.sub(named, _CANDIDATE.sub(named, lines)).replace("\n", "\r\n")
