"""What goes wrong with a provider, as data: which fault, in which turn, how often.

    Replies("Certainly.", "Done.", faults={2: Refused(429)})

A fault meets the first requests of its turn, `times` of them, and then the provider works again: so
a test shows whether the bot gets over it. With `times` above what the bot tries, it shows how the
call ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "Disconnects", "Fault", "FaultPlan", "Garbage", "ProviderFailure", "Refused", "SlowStart", "Stalls",
    "TimesOut",
]  # fmt: skip


class ProviderFailure(Exception):
    """What a scripted provider fails with. `status_code` is an HTTP status, where it answered with one."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, for the first `times` requests of a turn."""

    times: int = 1

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"{type(self).__name__}: times must be at least 1, not {self.times!r}")

    @property
    def delay_s(self) -> float:
        """How much later than usual the answer begins, or the failure comes."""
        return 0.0

    @property
    def share(self) -> float:
        """How much of the answer comes before it, 0 to 1."""
        return 1.0

    @property
    def error(self) -> Exception | None:
        """What the provider's client raises, if it raises."""
        return None


@dataclass(frozen=True, slots=True)
class Refused(Fault):
    """The provider answers with an HTTP status instead: 429 is too many requests, 401 a wrong key.

    pipecat takes 400, 401, 403, 404 and 422 for permanent, and gives the service no more work.
    """

    status: int = 429

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if not 400 <= self.status <= 599:
            raise ValueError(f"Refused: {self.status!r} is no HTTP status that refuses (400 to 599)")

    @property
    def share(self) -> float:
        return 0.0

    @property
    def error(self) -> Exception:
        return ProviderFailure(f"scripted fault: HTTP status {self.status}", self.status)


@dataclass(frozen=True, slots=True)
class TimesOut(Fault):
    """No answer: the provider's client gives up `after_s` seconds."""

    after_s: float = 5.0

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
    """The connection breaks off when `after` of the answer has come, 0 to 1."""

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
    """What comes makes no sense.

    An LLM's stream ends in something that is no JSON, when `after` of the answer has come; an STT
    understands nonsense; a TTS sends noise instead of speech.
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
    """The answer is right, and begins `by_s` seconds late."""

    by_s: float = 3.0

    @property
    def delay_s(self) -> float:
        return self.by_s


@dataclass(frozen=True, slots=True)
class Stalls(Fault):
    """When `after` of the answer has come, 0 to 1, nothing more does, and no error either."""

    after: float = 0.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _check_share("Stalls", self.after)

    @property
    def share(self) -> float:
        return self.after


class FaultPlan:
    """The faults of one kind of provider in one call, by turn; each is used up `times` times.

    Several services of a kind, of which one stands in for another, share a plan and so the count of turns.
    """

    turn: int
    """The turn that is under way; whoever makes requests counts it."""

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        for turn, fault in faults.items():
            if not isinstance(fault, Fault):
                raise TypeError(f"the fault of turn {turn} is {fault!r}: use Refused, TimesOut, Stalls, ...")
        self.turn = 0
        self._faults = dict(faults)
        self._met: dict[int, int] = {}

    def next(self) -> Fault | None:
        """The fault that the next request of this turn meets, if any."""
        turn = self.turn
        fault = self._faults.get(turn)
        met = self._met.get(turn, 0)
        if fault is None or met >= fault.times:
            return None
        self._met[turn] = met + 1
        return fault


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: after is a share of the answer, 0 to 1, not {share!r}")
