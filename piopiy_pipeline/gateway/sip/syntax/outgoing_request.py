"""Requests of ours as data, from which their ACK, their CANCEL and their repetition with a password follow. No I/O.

Source: RFC 3261, sections 8.1.1, 9.1, 17.1.1.3 and 22.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr

__all__ = ["OutgoingRequest"]

_OF_THE_TRANSACTION = ("from", "call-id", "route")


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request and its destination. `headers` has all headers but Via, CSeq, Max-Forwards and those of the body."""

    method: str
    uri: str
    flow: Flow
    branch: str
    sent_by: str
    """Our own address for Via, ``host:port``."""
    sequence: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    content_type: str = "application/sdp"
    or_else: Flow | None = None
    """Where it goes when the connection of `flow` is gone."""

    @property
    def within_dialog(self) -> bool:
        """Whether it belongs to a dialog: its To has a tag (section 12.2)."""
        to = next((value for name, value in self.headers if name.lower() == "to"), "")
        return bool(to) and bool(NameAddr.parse(to).tag)

    def __bytes__(self) -> bytes:
        lines = [
            f"{self.method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/{self.flow.transport.upper()} {self.sent_by};branch={self.branch};rport",
            "Max-Forwards: 70",
            *(f"{name}: {value}" for name, value in self.headers),
            f"CSeq: {self.sequence} {self.method}",
        ]
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body

    def ack(self, response: SipResponse) -> bytes:
        """Build the ACK of a refusal, which belongs to the transaction (section 17.1.1.3)."""
        kept = self._kept()
        return bytes(replace(self, method="ACK", headers=(*kept, ("To", response.get("To"))), body=b""))

    def cancel(self) -> OutgoingRequest:
        """Build the CANCEL of this request, with the same branch (section 9.1)."""
        to = tuple((name, value) for name, value in self.headers if name.lower() == "to")
        return replace(self, method="CANCEL", headers=(*self._kept(), *to), body=b"")

    def again(self, name: str, value: str, *, branch: str, sequence: int) -> OutgoingRequest:
        """Build the same request for a new transaction (section 22.2).

        Args:
            name: The header that is set or replaced.
            value: The value of the header.
            branch: The branch of the new transaction.
            sequence: Its number, which no other request of the dialog has.
        """
        kept = tuple(header for header in self.headers if header[0] != name)
        return replace(self, branch=branch, sequence=sequence, headers=(*kept, (name, value)))

    def _kept(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for name, value in self.headers if name.lower() in _OF_THE_TRANSACTION)
