"""What calls and registrations need of the user agent: transactions, names, and being woken.

It stands between them so that a call knows neither sockets nor other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from piopiy_pipeline.gateway.sip.agent.digest import Challenge, Credentials, answer
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipRequest, SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.transaction.timers import TimerOwner

__all__ = ["AuthenticatedRequest", "TransactionUser"]

OnResponse = Callable[[SipResponse, Flow, float], None]
OnLost = Callable[[int, float], None]
"""Called with 408 when nobody answered, and 503 when nothing could be sent."""

_MAX_CHALLENGES = 3  # 407 of a proxy, 401 behind it, and one stale nonce


class TransactionUser(Protocol):
    """The user agent, as a call sees it."""

    def token(self) -> str:
        """Something that nobody can guess, for tags and branches."""

    def contact(self, flow: Flow, user: str) -> str:
        """Our Contact for peers on this flow, in brackets."""

    def sent_by(self, flow: Flow) -> str:
        """Our address for Via, ``host:port``."""

    def send(self, request: OutgoingRequest) -> None:
        """Send outside of any transaction: an ACK."""

    def send_again(self, data: bytes, request: SipRequest, source: Flow) -> None:
        """Send a response again outside of its transaction: a 2xx."""

    def begin(self, request: OutgoingRequest, on_response: OnResponse, on_lost: OnLost, now: float) -> None:
        """Send a request in a transaction of its own."""

    def respond(
        self,
        request: SipRequest,
        source: Flow,
        code: int,
        phrase: str = "",
        *,
        to_tag: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        now: float,
    ) -> bytes:
        """Respond in the request's transaction. Returns what was sent."""

    def give_up(self, request: OutgoingRequest, now: float) -> None:
        """An INVITE of ours was cancelled: its transaction may wait no longer than 64*T1."""

    def reset_alarm(self, sleeper: TimerOwner) -> None:
        """Look at its `wake_at` again."""


class AuthenticatedRequest:
    """A request of ours and, when somebody asks for a password, the same once more."""

    def __init__(
        self,
        line: TransactionUser,
        request: OutgoingRequest,
        credentials: Credentials | None,
        on_response: OnResponse,
        on_lost: OnLost,
    ) -> None:
        self.request = request
        """What was sent last: what an ACK or CANCEL refers to."""
        self._line, self._credentials = line, credentials
        self._on_response, self._on_lost = on_response, on_lost
        self._challenges = 0
        self._answered: set[str] = set()
        self.given_up = False
        """Nobody wants it any more: it is not sent again."""

    def begin(self, now: float) -> None:
        """Send it."""
        self._line.begin(self.request, self._response, self._on_lost, now)

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
        return self.request.again(given, value, branch="z9hG4bK" + self._line.token())
