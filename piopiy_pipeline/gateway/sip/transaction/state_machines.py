"""The four transactions of SIP: they repeat what was not answered, and absorb what was received already.

Each is a state machine without I/O: it takes messages and the time in seconds, and returns the bytes to send now.
`wake_at` is the time at which `wake` must be called; `done` says that the transaction can be forgotten.

Source: RFC 3261, section 17; RFC 6026 (the Accepted state, timers L and M).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from piopiy_pipeline.gateway.sip.syntax.message import SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.transaction.timers import T1, T2, T4, TIMEOUT

__all__ = ["ClientInvite", "ClientRequest", "ServerInvite", "ServerRequest", "TransactionStep"]


class TransactionStep(NamedTuple):
    """What a transaction asks for: to send bytes, to pass a response on, or to report that time has run out."""

    send: bytes | None = None
    response: SipResponse | None = None
    timed_out: bool = False


_NOTHING = TransactionStep()


class ServerInvite:
    """The server transaction of an INVITE: figure 7, with RFC 6026. `reliable` is the transport's."""

    def __init__(self, *, reliable: bool) -> None:
        self._reliable = reliable
        self.state: Literal["proceeding", "accepted", "completed", "confirmed", "terminated"] = "proceeding"
        self._last: bytes | None = None
        self._repeat_at: float | None = None  # timer G
        self._interval = T1
        self._end_at: float | None = None  # timers H, I and L

    @property
    def done(self) -> bool:
        """Whether the transaction can be forgotten."""
        return self.state == "terminated"

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        times = [at for at in (self._repeat_at, self._end_at) if at is not None]
        return min(times) if times else None

    def respond(self, data: bytes, code: int, now: float) -> TransactionStep:
        """Send a response with this status. Only the first final response counts."""
        if self.state != "proceeding":
            return _NOTHING
        self._last = data
        if 200 <= code < 300:
            # 13.3.1.4: who answered repeats the 2xx until its ACK comes; here INVITEs are only absorbed.
            self.state, self._end_at = "accepted", now + TIMEOUT
        elif code >= 300:
            self.state, self._end_at = "completed", now + TIMEOUT
            self._repeat_at = None if self._reliable else now + self._interval
        return TransactionStep(send=data)

    def again(self) -> TransactionStep:
        """Handle that the INVITE was received once more."""
        return TransactionStep(send=self._last) if self.state in ("proceeding", "completed") else _NOTHING

    def ack(self, now: float) -> bool:
        """Take an ACK. Returns True if it acknowledges a refusal, False if it belongs to the dialog."""
        if self.state in ("proceeding", "accepted"):
            return False
        if self.state == "completed":
            self.state, self._repeat_at = "confirmed", None
            self._end_at = now if self._reliable else now + T4
        return True

    def wake(self, now: float) -> TransactionStep:
        """Act on the timers that are due. Call it at the time `wake_at`."""
        if self._end_at is not None and now >= self._end_at:
            lost = self.state == "completed"
            self.state, self._end_at, self._repeat_at = "terminated", None, None
            return TransactionStep(timed_out=lost)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._interval = min(self._interval * 2, T2)
            self._repeat_at = now + self._interval
            return TransactionStep(send=self._last)
        return _NOTHING


class ServerRequest:
    """The server transaction of any other request: figure 8. `reliable` is the transport's."""

    def __init__(self, *, reliable: bool) -> None:
        self._reliable = reliable
        self.state: Literal["trying", "completed", "terminated"] = "trying"
        self._last: bytes | None = None
        self._end_at: float | None = None  # timer J

    @property
    def done(self) -> bool:
        """Whether the transaction can be forgotten."""
        return self.state == "terminated"

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        return self._end_at

    def respond(self, data: bytes, code: int, now: float) -> TransactionStep:
        """Send a response with this status. Only the first final response counts."""
        if self.state != "trying":
            return _NOTHING
        self._last = data
        if code >= 200:
            self.state, self._end_at = "completed", now if self._reliable else now + TIMEOUT
        return TransactionStep(send=data)

    def again(self) -> TransactionStep:
        """Handle that the request was received once more."""
        return TransactionStep(send=self._last)

    def wake(self, now: float) -> TransactionStep:
        """Act on the timers that are due. Call it at the time `wake_at`."""
        if self._end_at is not None and now >= self._end_at:
            self.state, self._end_at = "terminated", None
        return _NOTHING


class ClientInvite:
    """The client transaction of an INVITE: figure 5, with RFC 6026.

    For its final response it waits no longer than 64*T1 within a dialog, or after `give_up`, whatever was provisional.
    """

    def __init__(self, request: OutgoingRequest, now: float) -> None:
        self.request = request
        self._data = bytes(request)
        self.state: Literal["calling", "proceeding", "accepted", "completed", "terminated"] = "calling"
        self._interval = T1
        self._repeat_at = None if request.flow.reliable else now + T1  # timer A
        self._end_at: float | None = now + TIMEOUT  # timers B, D and M
        # A call may ring for long, a change within it may not: nobody is asked whether to take it.
        self._bounded = request.within_dialog
        self._ack: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether the transaction can be forgotten."""
        return self.state == "terminated"

    @property
    def answered(self) -> bool:
        """Whether the final response has come."""
        return self.state not in ("calling", "proceeding")

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        times = [at for at in (self._repeat_at, self._end_at) if at is not None]
        return min(times) if times else None

    def begin(self) -> TransactionStep:
        """Send the request for the first time."""
        return TransactionStep(send=self._data)

    def receive(self, response: SipResponse, now: float) -> TransactionStep:
        """Take a response to the INVITE."""
        if self.state in ("calling", "proceeding"):
            self._repeat_at = None
            if response.code < 200:
                self.state = "proceeding"
                if not self._bounded:
                    self._end_at = None  # from here on the ring timeout of the call decides
                return TransactionStep(response=response)
            if response.code < 300:
                self.state, self._end_at = "accepted", now + TIMEOUT
                return TransactionStep(response=response)
            self.state = "completed"
            self._end_at = now if self.request.flow.reliable else now + TIMEOUT
            self._ack = self.request.ack(response)
            return TransactionStep(send=self._ack, response=response)
        if self.state == "accepted" and 200 <= response.code < 300:
            return TransactionStep(response=response)  # the same again, or another phone that answered too
        if self.state == "completed" and response.code >= 300:
            return TransactionStep(send=self._ack)
        return _NOTHING

    def give_up(self, now: float) -> None:
        """Wait for a final response no longer than 64*T1, because the INVITE was cancelled (section 9.1)."""
        if self.state in ("calling", "proceeding"):
            self._repeat_at = None
            self._bounded, self._end_at = True, now + TIMEOUT

    def wake(self, now: float) -> TransactionStep:
        """Act on the timers that are due. Call it at the time `wake_at`."""
        if self._end_at is not None and now >= self._end_at:
            lost = self.state in ("calling", "proceeding")
            self.state, self._end_at, self._repeat_at = "terminated", None, None
            return TransactionStep(timed_out=lost)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._interval *= 2
            self._repeat_at = now + self._interval
            return TransactionStep(send=self._data)
        return _NOTHING


class ClientRequest:
    """The client transaction of any other request: figure 6."""

    def __init__(self, request: OutgoingRequest, now: float) -> None:
        self.request = request
        self._data = bytes(request)
        self.state: Literal["trying", "proceeding", "completed", "terminated"] = "trying"
        self._interval = T1
        self._repeat_at = None if request.flow.reliable else now + T1  # timer E
        self._end_at: float | None = now + TIMEOUT  # timers F and K

    @property
    def done(self) -> bool:
        """Whether the transaction can be forgotten."""
        return self.state == "terminated"

    @property
    def answered(self) -> bool:
        """Whether the final response has come."""
        return self.state not in ("trying", "proceeding")

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        times = [at for at in (self._repeat_at, self._end_at) if at is not None]
        return min(times) if times else None

    def begin(self) -> TransactionStep:
        """Send the request for the first time."""
        return TransactionStep(send=self._data)

    def receive(self, response: SipResponse, now: float) -> TransactionStep:
        """Take a response to the request."""
        if self.state not in ("trying", "proceeding"):
            return _NOTHING
        if response.code < 200:
            self.state = "proceeding"
            return TransactionStep(response=response)
        self.state, self._repeat_at = "completed", None
        self._end_at = now if self.request.flow.reliable else now + T4
        return TransactionStep(response=response)

    def wake(self, now: float) -> TransactionStep:
        """Act on the timers that are due. Call it at the time `wake_at`."""
        if self._end_at is not None and now >= self._end_at:
            lost = self.state in ("trying", "proceeding")
            self.state, self._end_at, self._repeat_at = "terminated", None, None
            return TransactionStep(timed_out=lost)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._interval = T2 if self.state == "proceeding" else min(self._interval * 2, T2)
            self._repeat_at = now + self._interval
            return TransactionStep(send=self._data)
        return _NOTHING
