"""The addresses at which browsers reach this machine. No I/O and no aioice, because the settings use it too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

__all__ = ["IceAddresses", "with_public_addresses"]

_CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ \S+ \d+ )(\S+)( \d+ typ host\b)", re.MULTILINE)
_CONNECTION = re.compile(r"^(c=IN IP[46] )(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IceAddresses:
    """Which addresses of this machine are used, and by which addresses the world knows them."""

    own: Sequence[str] = ()
    """Addresses of this machine. Empty: all of them."""
    public: Mapping[str, str] = field(default_factory=dict)
    """The public address of each own address that is behind a one-to-one NAT."""

    @classmethod
    def parse(cls, settings: Sequence[str]) -> IceAddresses:
        """Parse addresses such as ``10.0.0.5``, or ``10.0.0.5=203.0.113.7`` behind a one-to-one NAT.

        Raises:
            ValueError: A text is no address. The message says what to write.
        """
        own: list[str] = []
        public: dict[str, str] = {}
        for setting in settings:
            inside, equals, outside = (part.strip() for part in setting.partition("="))
            try:
                address = str(ip_address(inside))
                if equals:
                    public[address] = str(ip_address(outside))
            except ValueError:
                raise ValueError(
                    f"{setting!r} is no address: write 10.0.0.5, or 10.0.0.5=203.0.113.7 where the world"
                    " knows this machine's 10.0.0.5 as 203.0.113.7"
                ) from None
            own.append(address)
        return cls(tuple(own), public)


def with_public_addresses(sdp: str, public: Mapping[str, str]) -> str:
    """Replace each own address in an SDP's host candidates and ``c=`` lines by its public address."""

    def replaced(line: re.Match[str]) -> str:
        return line[1] + public.get(line[2], line[2]) + (line[3] if line.re is _CANDIDATE else "")

    if not public:
        return sdp
    lines = sdp.replace("\r\n", "\n")
    return _CONNECTION.sub(replaced, _CANDIDATE.sub(replaced, lines)).replace("\n", "\r\n")
