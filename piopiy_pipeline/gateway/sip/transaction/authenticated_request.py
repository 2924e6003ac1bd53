"""A request of ours that is sent once more with a password when the other side asks for one. No I/O.

Source: RFC 3261, section 22.
"""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.gateway.sip.syntax.digest import Challenge, Credentials, answer
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OnLost, OnResponse, TransactionLayer

__all__ = ["AuthenticatedRequest"]

_MAX_CHALLENGES = 3  # 407 of a proxy, 401 behind it, and one stale nonce


class AuthenticatedRequest:
    """One request, and its repetitions with a password.

    Args:
        transactions: Sends it.
        request: What to send first.
        credentials: The password to give; None: a challenge is a response like any other.
        on_response: Called with each response that is not a challenge we answer.
        on_lost: Called when there is no response.
        next_sequence: Takes the next number of the dialog, for a repetition. None: there is no dialog yet, and the
            number follows on that of `request`.
    """

    def __init__(
        self,
        transactions: TransactionLayer,
        request: OutgoingRequest,
        credentials: Credentials | None,
        on_response: OnResponse,
        on_lost: OnLost,
        next_sequence: Callable[[], int] | None = None,
    ) -> None:
        self.request = request
        """The request that was sent last: an ACK or a CANCEL refers to this one."""
        self.given_up = False
        """Whether the result is no longer wanted: then it is not sent again."""
        self._transactions, self._credentials = transactions, credentials
        self._on_response, self._on_lost = on_response, on_lost
        self._next_sequence = next_sequence
        self._challenges = 0
        self._answered: set[str] = set()

    def begin(self, now: float) -> None:
        """Send the request. `now` is in seconds."""
        self._transactions.begin(self.request, self._response, self._on_lost, now)

    def _response(self, response: SipResponse, source: Flow, now: float) -> None:
        if response.code in (401, 407) and self._credentials is not None and not self.given_up:
            again = self._with_password(response)
            if again is not None:
                self.request = again
                self.begin(now)
                return
        self._on_response(response, source, now)

    def _with_password(self, response: SipResponse) -> OutgoingRequest | None:
        asked, given = (
            ("WWW-Authenticate", "Authorization")
            if response.code == 401
            else ("Proxy-Authenticate", "Proxy-Authorization")
        )
        challenge = Challenge.choose(response.headers.getlist(asked))
        self._challenges += 1
        if challenge is None or self._credentials is None or self._challenges > _MAX_CHALLENGES:
            return None
        if given in self._answered and not challenge.stale:
            return None  # the password is wrong, and stays so
        self._answered.add(given)
        value = answer(challenge, self._credentials, method=self.request.method, uri=self.request.uri)
        number = self.request.sequence + 1 if self._next_sequence is None else self._next_sequence()
        return self.request.again(given, value, branch=self._transactions.branch(), sequence=number)
