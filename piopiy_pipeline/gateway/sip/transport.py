"""The sockets of SIP. (Interface; the body follows.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from piopiy_pipeline.gateway.sip.call import SipCall
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.listeners import CallListener, UserAgentListener
from piopiy_pipeline.gateway.sip.sdp import SessionDescription

__all__ = ["SipEndpoint"]


class SipEndpoint:
    """A user agent on its sockets."""

    port: int
    """Where UDP and TCP listen."""

    @classmethod
    async def open(cls, config: SipConfig, listener: UserAgentListener) -> Self:
        """Listen. Raises `GatewayError` when a port is taken or a certificate cannot be read."""
        raise NotImplementedError

    def media_host(self, peer: str) -> str:
        """The address to name in session descriptions for a peer at this address."""
        raise NotImplementedError

    def invite(
        self,
        to: str,
        offer: SessionDescription,
        listener: CallListener,
        *,
        from_user: str = "",
        from_name: str = "",
        headers: Mapping[str, str] | None = None,
        ring_timeout_s: float | None = None,
    ) -> SipCall:
        """Call `to`: a registered phone's user, a number through the trunk, or a `sip:` URI.

        Raises `CannotCall` when nobody can be reached under it.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Hang up what is left, and close. Bounded in time, idempotent."""
