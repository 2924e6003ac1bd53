"""`CallAdmission`: whether an agent takes a call that it is offered, and what it says of its load.

A call is refused beyond the agent's number (`capacity`), while it drains, and when the calls that it has leave its
process no time (`OverloadControl`). The gateway is told, and offers such a call to another instance; with none, the
caller rings for a while.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

from loguru import logger

from piopiy_pipeline.agent.isolation import AUTO_CAPACITY
from piopiy_pipeline.agent.load_meter import LoadMeter, usable_cores
from piopiy_pipeline.agent.overload_control import LOAD_THRESHOLD, OverloadControl
from piopiy_pipeline.arguments import shown, whole_number
from piopiy_pipeline.signaling.instance_messages import Load, Status
from piopiy_pipeline.signaling.messages import Offer, Reject

__all__ = ["AdmissionPlan", "CallAdmission"]


LEAST_THRESHOLD = 0.1
MAX_CAPACITY = 1_000_000
"""More calls than this nobody means: a thousand processes, the most that an agent may have, take a fifth."""


@dataclass(frozen=True, slots=True)
class AdmissionPlan:
    """How many calls an agent takes.

    Attributes:
        capacity: So many at most; None for as many as its load allows.
        threshold: The share of its time in which the event loop of a process may work before new calls are refused;
            None without limit.
    """

    capacity: int | None = None
    threshold: float | None = LOAD_THRESHOLD

    @classmethod
    def choose(
        cls,
        capacity: int | str | None,
        load_threshold: float | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """Return the plan of these arguments of `Agent`; for None, of the environment.

        Raises:
            TypeError: One is of another kind.
            ValueError: One cannot work.
        """
        name, given = "capacity", capacity
        if capacity is None:
            name, given = "PIOPIY_CAPACITY", environment.get("PIOPIY_CAPACITY") or "auto"
        calls = (
            None
            if given == "auto"
            else whole_number(name, given, most=MAX_CAPACITY, expected="'auto' or", text=capacity is None)
        )
        share: object = load_threshold
        if load_threshold is None:
            share = environment.get("PIOPIY_LOAD_THRESHOLD") or LOAD_THRESHOLD
        name = "PIOPIY_LOAD_THRESHOLD" if load_threshold is None else "load_threshold"
        if isinstance(share, str) and load_threshold is None:
            with suppress(ValueError):
                share = float(share)
        if isinstance(share, bool) or not isinstance(share, int | float) or not LEAST_THRESHOLD <= share <= 1:
            raise ValueError(f"{name} must be a number from {LEAST_THRESHOLD:g} to 1, not {shown(share)}")
        return cls(calls, None if share == 1 else float(share))


class CallAdmission:
    """Decides about the calls of one process.

    Args:
        plan: How many it takes.
        calls: Returns how many there are.
        report: Called when the gateway is to be told a status.
    """

    REPORT_S = 1.0
    """No change of the load alone is told more often."""
    CHANGE = 0.05
    """A smaller one of the busy share is not told."""

    def __init__(
        self,
        plan: AdmissionPlan,
        *,
        calls: Callable[[], int],
        report: Callable[[], None],
    ) -> None:
        self.capacity = AUTO_CAPACITY if plan.capacity is None else plan.capacity
        """How many calls this process takes at most."""
        self.closed = False
        """Whether no call is taken any more."""
        self._calls = calls
        self._report = report
        self._control = OverloadControl(plan.threshold, cores=usable_cores())
        self._meter: LoadMeter | None = None
        self._sent = Load(busy=0.0, lag_p95_ms=0.0, core=0.0)
        self._sent_at = 0.0

    def begin(self) -> None:
        """Measure the load of the running event loop from now on."""
        self._meter = LoadMeter(self._control, calls=self._calls, on_measured=self._on_measured)

    def awake(self) -> None:
        """Measure now if that is almost due, because something else has woken the process."""
        if self._meter is not None:
            self._meter.awake()

    def close(self) -> None:
        """Measure no more."""
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.close()

    def refusal(self, offer: Offer) -> Reject | None:
        """Return the answer to an offer that is not taken; None if the call is taken, and counts from now on."""
        reason: Literal["full", "draining"] = "draining" if self.closed else "full"
        detail = ""
        if not self.closed and self._calls() < self.capacity:
            now = time.monotonic()
            load = self._control.load(now, self._calls())
            if load.takes == "all" or (load.takes == "takeovers" and offer.checkpoint is not None):
                self._control.call_began(now)
                return None
            detail = load.why
        return Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason=reason, detail=detail)

    def status(self, *, with_load: bool) -> Status:
        """Return what the gateway is told of this process.

        Args:
            with_load: Whether it knows what a load is. One that does not is told a capacity instead that has no place.
        """
        load = self._control.load(time.monotonic(), self._calls())
        self._note(load)
        active = self._calls()
        full = load.takes != "all" and not with_load
        return Status(
            active=active,
            capacity=max(1, min(active, self.capacity)) if full else self.capacity,
            state="draining" if self.closed else "serving",
            load=load if with_load else None,
        )

    def _on_measured(self) -> None:
        now = time.monotonic()
        load = self._control.load(now, self._calls())
        changed = (
            abs(load.busy - self._sent.busy) >= self.CHANGE
            or abs(load.lag_p95_ms - self._sent.lag_p95_ms) >= 10
        )
        if load.takes != self._sent.takes or (changed and now >= self._sent_at + self.REPORT_S):
            self._report()

    def _note(self, load: Load) -> None:
        if (load.takes == "all") != (self._sent.takes == "all"):
            if load.takes == "all":
                logger.info("new calls are taken again: {} in progress", self._calls())
            else:
                logger.warning("no new calls are taken with {} in progress: {}", self._calls(), load.why)
        self._sent, self._sent_at = load, time.monotonic()
