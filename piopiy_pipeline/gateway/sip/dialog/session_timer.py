"""Session timers: they end a call whose other side has disappeared without a BYE. No I/O. Source: RFC 4028."""

from __future__ import annotations

from typing import Literal

from piopiy_pipeline.gateway.sip.syntax.message import SipMessage, SipRequest, SipResponse
from piopiy_pipeline.gateway.sip.syntax.uri import parse_parameters

__all__ = ["SessionTimer"]

MIN_SE = 90
RETRY_S, MAX_RETRY_S = 5.0, 60.0


class SessionTimer:
    """Decides when to refresh a session, or to stop waiting for a refresh. It is off until both sides agree
    on it.

    Args:
        interval_s: The session interval in seconds that we propose.
    """

    MINIMUM = (("Min-SE", str(MIN_SE)),)

    def __init__(self, interval_s: int = 1800) -> None:
        self._wanted = interval_s
        self._interval: int | None = None
        self._ours = False
        self._at: float | None = None
        self._expires_at = 0.0  # while the timer is on: when the session is over without a refresh
        self._retry_s = RETRY_S
        self._least_s: int | None = None  # the shortest interval that the other side takes, as it has said

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: the timer is off."""
        return self._at

    @property
    def agreed(self) -> tuple[int | None, bool]:
        """The interval in seconds that was agreed on (None: the timer is off), and whether we refresh."""
        return self._interval, self._ours

    def resume(self, interval_s: int | None, *, ours: bool, now: float) -> None:
        """Go on with what was agreed on, as if the session had been refreshed just now."""
        self._interval, self._ours = interval_s, ours
        self.started(now)

    def stop(self) -> None:
        """Turn the timer off, because the call has ended."""
        self._at = self._interval = None

    def asked(self, request: SipRequest) -> tuple[tuple[str, str], ...] | None:
        """Agree to what an INVITE or re-INVITE asks for.

        Returns:
            The headers of our 2xx; None when the interval is too short (422, with `MINIMUM`).

        Raises:
            ValueError: Session-Expires cannot be read.
        """
        supported = "timer" in [name.strip().lower() for name in request.listed("Supported")]
        interval, refresher = _read(request)
        if interval is None:
            if not supported:
                self._interval = None
                return ()
            interval = self._wanted
        if interval < MIN_SE:
            return None
        self._interval = interval
        # 9: a side that does not know of timers does not refresh either.
        self._ours = refresher == "uas" or not supported
        who = "uas" if self._ours else "uac"
        required = (("Require", "timer"),) if supported else ()
        return (("Session-Expires", f"{interval};refresher={who}"), *required)

    def request_headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of a re-INVITE of ours, which keep what was agreed."""
        if self._interval is None:
            return ()
        who = "uac" if self._ours else "uas"
        interval = max(self._interval, self._least_s or 0)
        least = (("Min-SE", str(self._least_s)),) if self._least_s is not None else ()
        return (("Session-Expires", f"{interval};refresher={who}"), *least)

    def answered(self, response: SipResponse, now: float) -> None:
        """Read from the 2xx to an INVITE of ours who refreshes, and how often."""
        try:
            interval, refresher = _read(response)
        except ValueError:
            interval, refresher = None, ""
        self._interval = max(interval, MIN_SE) if interval is not None else None
        self._ours = refresher != "uas"
        self.started(now)

    def started(self, now: float) -> None:
        """Note that the session was begun or refreshed (section 10)."""
        self._retry_s = RETRY_S
        if self._interval is None:
            self._at = None
            return
        self._expires_at = now + self._interval - min(32.0, self._interval / 3)
        self._at = now + self._interval / 2 if self._ours else self._expires_at

    def retry(self, now: float) -> None:
        """Try again, each time later, because the session could not be refreshed at present."""
        if self._interval is not None:
            self._at = min(now + self._retry_s, self._expires_at)
            self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    def refused(self, response: SipResponse, now: float) -> None:
        """Try again after a refusal; after a 422 with an interval that the other side takes (section 7.4)."""
        least = response.get("Min-SE").partition(";")[0].strip()
        if response.code == 422 and least.isascii() and least.isdigit() and len(least) <= 9:
            self._least_s = max(int(least), self._least_s or 0)
        self.retry(now)

    def wake(self, now: float) -> Literal["", "refresh", "expired"]:
        """Return what is due: to send a refresh, to end the call because no refresh came, or nothing."""
        if self._at is None or now < self._at:
            return ""
        if now >= self._expires_at:
            self._at = None
            return "expired"
        self._at = self._expires_at
        return "refresh"


def _read(message: SipMessage) -> tuple[int | None, str]:
    value = message.get("Session-Expires")
    if not value:
        return None, ""
    seconds, semicolon, parameters = value.partition(";")
    seconds = seconds.strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 9):
        raise ValueError("Session-Expires is no number")
    return int(seconds), parse_parameters(semicolon + parameters).get("refresher", "").lower()
