"""Our registration with a trunk or PBX, which is renewed before it expires, so that calls reach us. No I/O.

Source: RFC 3261, section 10.2.
"""

from __future__ import annotations

import random

from loguru import logger

from piopiy_pipeline.gateway.sip.config import SipTrunk
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.uri import escaped_user
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import AuthenticatedRequest
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["Registration"]

_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 300.0


class Registration:
    """A registration of ours with a trunk, which is renewed until `stop`.

    Args:
        transactions: Sends the requests.
        name: The name of the trunk in the configuration, for log lines.
        trunk: Where to register, and as whom.
    """

    def __init__(self, transactions: TransactionLayer, name: str, trunk: SipTrunk) -> None:
        assert trunk.user is not None  # the configuration demands it with register_there
        self._transactions, self._name, self._trunk = transactions, name, trunk
        self._user = escaped_user(trunk.user)
        self._credentials = trunk.credentials
        self._flow = Flow(trunk.transport, trunk.host, trunk.port)
        self._call_id, self._tag = transactions.token(), transactions.token()
        self._sequence = 0
        self._expires = trunk.expires_s
        self._at: float | None = None
        self._failures = 0
        self._request: AuthenticatedRequest | None = None
        self._stopped = False
        self.registered = False
        """Whether the trunk knows us at present."""

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        return self._at

    def begin(self, now: float) -> None:
        """Send a REGISTER for the first time."""
        self._at = None
        self._send(self._expires, now)

    def wake(self, now: float) -> None:
        """Renew the registration. Call it at the time `wake_at`."""
        if self._at is not None and now >= self._at and not self._stopped:
            self.begin(now)

    def stop(self, now: float) -> None:
        """Unregister, and renew no more. `registered` is False at once."""
        self._stopped, self._at = True, None
        if self.registered:
            self.registered = False
            self._send(0, now)

    def _send(self, expires: int, now: float) -> None:
        self._sequence += 1
        host = f"[{self._trunk.host}]" if ":" in self._trunk.host else self._trunk.host
        own = f"<sip:{self._user}@{host}>"
        request = OutgoingRequest(
            method="REGISTER",
            uri=f"sip:{host}",
            flow=self._flow,
            branch=self._transactions.branch(),
            sent_by=self._transactions.sent_by(self._flow),
            sequence=self._sequence,
            headers=(
                ("From", f"{own};tag={self._tag}"),
                ("To", own),
                ("Call-ID", self._call_id),
                ("Contact", self._transactions.contact(self._flow, self._trunk.user or "")),
                ("Expires", str(expires)),
            ),
        )
        self._request = AuthenticatedRequest(
            self._transactions, request, self._credentials, self._response, self._lost
        )
        self._request.begin(now)

    def _response(self, response: SipResponse, source: Flow, now: float) -> None:
        if response.code < 200:
            return
        if self._request is not None:
            self._sequence = max(self._sequence, self._request.request.sequence)
        if self._stopped:
            return
        if response.code < 300:
            if not self.registered:
                logger.info("registered with the trunk {} as {}", self._name, self._trunk.user)
            self.registered, self._failures = True, 0
            granted = self._granted(response)
            self._again(now, granted - min(granted / 2, 30.0))
            return
        minimum = response.get("Min-Expires")
        if (
            response.code == 423
            and minimum.isascii()
            and minimum.isdigit()
            and int(minimum[:6]) > self._expires
        ):
            self._expires = int(minimum[:6])
            self._again(now, 0.0)
            return
        self._failed(f"{response.code} {clean(response.phrase)}", now)

    def _lost(self, code: int, now: float) -> None:
        if not self._stopped:
            self._failed("no answer" if code == 408 else "cannot be reached", now)

    def _failed(self, why: str, now: float) -> None:
        self.registered = False
        self._failures += 1
        wait = min(_FIRST_RETRY_S * 2 ** (self._failures - 1), _LAST_RETRY_S) * random.uniform(0.8, 1.2)
        logger.warning(
            "trunk {}: not registered as {}: {}. Next try in {:.0f} s",
            self._name,
            self._trunk.user,
            why,
            wait,
        )
        self._again(now, wait)

    def _again(self, now: float, wait: float) -> None:
        self._at = now + wait
        self._transactions.set_timer(self)

    def _granted(self, response: SipResponse) -> float:
        """Return how long the registration lasts in seconds, as our Contact says, or else as Expires says."""
        texts = [response.get("Expires")]
        try:
            texts[:0] = [
                c.parameters.get("expires", "")
                for c in response.addresses("Contact")
                if f"sip:{self._user}@" in c.uri
            ]
        except ValueError:
            logger.debug("trunk {}: a Contact that cannot be read", self._name)
        for text in texts:
            if text.isascii() and text.isdigit() and int(text[:6]) > 0:
                return float(int(text[:6]))
        return float(self._expires)
