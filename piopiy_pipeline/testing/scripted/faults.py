"""Faults of providers as data: which fault, in which turn, and how often.

    Replies("Certainly.", "Done.", faults={2: Refused(429)})

A fault meets the first requests of its turn, `times` of them; then the provider works again. So a test shows
whether the bot recovers. If `times` is more than the bot tries, the test shows how the call ends. Turns count from 1;
only a voice has a turn 0, the greeting.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from piopiy_pipeline.arguments import check_count, check_kind, check_seconds, shown

__all__ = [
    "Disconnects", "Fault", "FaultPlan", "Garbage", "ProviderFailure", "Refused", "SlowStart", "Stalls",
    "TimesOut",
]  # fmt: skip


class ProviderFailure(Exception):
    """The error of a scripted provider. `status_code` is the HTTP status, if it answered with one."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, for the first `times` requests of a turn. The base of all faults."""

    times: int = 1

    def __post_init__(self) -> None:
        check_count(f"{type(self).__name__}: times", self.times)

    @property
    def delay_s(self) -> float:
        """How many seconds later than usual the answer begins, or the failure comes."""
        return 0.0

    @property
    def share(self) -> float:
        """How much of the answer comes before the fault, 0 to 1."""
        return 1.0

    @property
    def error(self) -> Exception | None:
        """What the provider's client raises; None if it does not raise."""
        return None


@dataclass(frozen=True, slots=True)
class Refused(Fault):
    """The provider answers with an HTTP status: 429 is too many requests, 401 a wrong key.

    pipecat treats 400, 401, 403, 404 and 422 as permanent, and gives the service no more work.
    """

    status: int = 429

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        check_kind("Refused: status", self.status, int, "an HTTP status")
        if not 400 <= self.status <= 599:
            raise ValueError(f"Refused: {shown(self.status)} is no HTTP status that refuses (400 to 599)")

    @property
    def share(self) -> float:
        return 0.0

    @property
    def error(self) -> Exception:
        return ProviderFailure(f"scripted fault: HTTP status {self.status}", self.status)


@dataclass(frozen=True, slots=True)
class TimesOut(Fault):
    """The provider does not answer, and its client gives up after `after_s` seconds."""

    after_s: float = 5.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        check_seconds("TimesOut: after_s", self.after_s, zero=True)

    @property
    def delay_s(self) -> float:
        return self.after_s

    @property
    def share(self) -> float:
        return 0.0

    @property
    def error(self) -> Exception:
        return TimeoutError(f"scripted fault: no answer in {self.after_s:g} s")


@dataclass(frozen=True, slots=True)
class Disconnects(Fault):
    """The connection is lost when a share of the answer has come: `after`, 0 to 1."""

    after: float = 0.5

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _check_share("Disconnects", self.after)

    @property
    def share(self) -> float:
        return self.after

    @property
    def error(self) -> Exception:
        return ConnectionResetError("scripted fault: the connection was closed in the middle of the answer")


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    """The provider answers with nonsense.

    An LLM's stream ends in something that is not JSON when a share of the answer has come (`after`, 0 to 1). An STT
    understands nonsense. A TTS sends noise instead of speech.
    """

    after: float = 0.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _check_share("Garbage", self.after)

    @property
    def share(self) -> float:
        return self.after

    @property
    def error(self) -> Exception:
        return json.JSONDecodeError("scripted fault: Expecting value", '<html>502</html>"', 0)


@dataclass(frozen=True, slots=True)
class SlowStart(Fault):
    """The answer is right, but begins `by_s` seconds late."""

    by_s: float = 3.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        check_seconds("SlowStart: by_s", self.by_s, zero=True)

    @property
    def delay_s(self) -> float:
        return self.by_s


@dataclass(frozen=True, slots=True)
class Stalls(Fault):
    """Stops an answer when a share of it has come (`after`, 0 to 1): nothing more comes, not even an error."""

    after: float = 0.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _check_share("Stalls", self.after)

    @property
    def share(self) -> float:
        return self.after


class FaultPlan:
    """The faults of one kind of provider in one call, by turn. Each is used `times` times.

    Several services of one kind, of which one replaces another, share a plan, and with it the count of turns.

    Args:
        faults: The faults by the number of the turn. A voice has a turn 0, its greeting. Others have
            none: a fault of 0 is taken there, and never comes.

    Raises:
        TypeError: Something is no fault, or no number of a turn.
        ValueError: A turn is less than 0.
    """

    turn: int
    """The number of the current turn. The service that makes requests counts it."""

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        check_kind("faults", faults, Mapping, "a mapping of turns to faults")
        for turn, fault in faults.items():
            check_count("faults: the number of a turn", turn, least=0)
            if not isinstance(fault, Fault):
                raise TypeError(
                    f"the fault of turn {turn} is {shown(fault)}: use Refused, TimesOut, Stalls, ..."
                )
        self.turn = 0
        self._faults = dict(faults)
        self._met: dict[int, int] = {}

    def next(self) -> Fault | None:
        """Return the fault that the next request of this turn meets; None if it meets none."""
        turn = self.turn
        fault = self._faults.get(turn)
        met = self._met.get(turn, 0)
        if fault is None or met >= fault.times:
            return None
        self._met[turn] = met + 1
        return fault


def _check_share(name: str, share: float) -> None:
    check_kind(f"{name}: after", share, (int, float), "a share of the answer, 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: after is a share of the answer, 0 to 1, not {shown(share)}")
