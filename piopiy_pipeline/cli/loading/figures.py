"""What a run of `piopiy load` measures, for all callers and by their kind, and the JSON that is made of it."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.loading.samples import Lateness, Sample, Samples

__all__ = ["KINDS", "LATE_MS", "CallerFigures", "CallerKind", "LoadFigures"]

CallerKind = Literal["stream", "sip", "webrtc"]
KINDS: tuple[CallerKind, ...] = ("stream", "sip", "webrtc")
LATE_MS = 20.0
"""A whole frame: when one in a hundred is sent later than this, the load generator measures itself."""
MAX_REASONS = 50
"""Different reasons of failures that are counted apart; all further ones together."""
REASON_LENGTH = 200
OTHER = "other reasons"


@dataclass(slots=True)
class CallerFigures:
    """What was measured of callers of one kind, or of all."""

    begun: int = 0
    answered: int = 0
    ended: int = 0
    failed: int = 0
    turns: int = 0
    unanswered_turns: int = 0
    talked_s: float = 0.0
    answer_ms: Samples = field(default_factory=Samples)
    """From dialling to the answer."""
    voice_to_voice_ms: Samples = field(default_factory=Samples)
    barge_in_ms: Samples = field(default_factory=Samples)
    gap_ms: Samples = field(default_factory=Samples)
    """Gaps within the bot's speech, from 20 ms on."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            "begun": self.begun,
            "answered": self.answered,
            "failed": self.failed,
            "failed_share": round(self.failed / self.ended, 4) if self.ended else None,
            "turns": self.turns,
            "unanswered_turns": self.unanswered_turns,
            "unanswered_share": round(self.unanswered_turns / self.turns, 4) if self.turns else None,
            "answer_ms": self.answer_ms.summary(),
            "voice_to_voice_ms": self.voice_to_voice_ms.summary(),
            "barge_in_ms": self.barge_in_ms.summary(),
            "gap_ms": self.gap_ms.summary(),
            "gaps_per_minute": round(60 * self.gap_ms.count / self.talked_s, 2) if self.talked_s else None,
        }


class LoadFigures:
    """Collects what callers report. Make it when the run begins, inside its event loop.

    Args:
        kinds: The kinds of callers that there are.
    """

    def __init__(self, kinds: tuple[CallerKind, ...]) -> None:
        self.all = CallerFigures()
        self.by_kind = {kind: CallerFigures() for kind in KINDS if kind in kinds}
        self.failures: Counter[str] = Counter()
        self.lateness = Lateness()
        self.active = 0
        """Calls in progress, those that ring among them."""
        self.most_active = 0
        self.active_over_time: list[Sample] = [Sample(0.0, 0.0)]
        """Calls in progress, at most once a second."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._cpu_began = time.process_time()
        self._took_s: float | None = None
        self._cpu_s = 0.0

    @property
    def at(self) -> float:
        """Seconds since the run began; when it is over, how long it took."""
        return self._loop.time() - self._began if self._took_s is None else self._took_s

    def finish(self) -> None:
        """The run is over."""
        self._note_active()
        self._cpu_s = time.process_time() - self._cpu_began
        self._took_s = self.at

    # ------------------------------------------------------------------ from the callers

    def begin(self, kind: CallerKind) -> None:
        """A caller dials."""
        for measured in self._of(kind):
            measured.begun += 1
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        self._note_active()

    def tell(self, kind: CallerKind, link: GatewayLink, due: float) -> None:
        """Take what a caller has to report since the last time.

        Args:
            kind: The kind of caller.
            link: Their end of the call, whose sounds are thrown away.
            due: When the timer that called this was due, in seconds of the loop's clock; infinity if it was none.
        """
        now = self._loop.time()
        if due <= now:
            self.lateness.add(self.at, now - due)
        link.take_sounds()
        for report in link.take_reports():
            match report.event:
                case "answered":
                    for measured in self._of(kind):
                        measured.answered += 1
                        measured.answer_ms.add(self.at, report.at * 1000)
                case "turn":
                    self._turn(kind, report.data)

    def _turn(self, kind: CallerKind, data: dict[str, Any]) -> None:
        waited, spoke_on = data["voice_to_voice_ms"], data.get("barge_in_ms")
        for measured in self._of(kind):
            measured.turns += 1
            if waited is None:
                measured.unanswered_turns += 1
            else:
                measured.voice_to_voice_ms.add(self.at, waited)
            if spoke_on is not None:
                measured.barge_in_ms.add(self.at, spoke_on)

    def end(self, kind: CallerKind, outcome: CallOutcome | None, failure: str | None) -> None:
        """A call is over.

        Args:
            kind: The kind of caller.
            outcome: How it went; None: there was no connection.
            failure: Why it does not count as a regular call; None: it does.
        """
        self.active -= 1
        for measured in self._of(kind):
            measured.ended += 1
            measured.failed += failure is not None
            if outcome is not None:
                measured.talked_s += outcome.duration_s
                for gap_ms in outcome.gaps_ms:
                    measured.gap_ms.add(self.at, gap_ms)
        if failure is not None:
            reason = " ".join(failure.split())[:REASON_LENGTH]
            known = reason in self.failures or len(self.failures) < MAX_REASONS
            self.failures[reason if known else OTHER] += 1
        self._note_active()

    def _of(self, kind: CallerKind) -> tuple[CallerFigures, CallerFigures]:
        return self.all, self.by_kind[kind]

    def _note_active(self) -> None:
        at = self.at
        if int(at) == int(self.active_over_time[-1].at) and len(self.active_over_time) > 1:
            self.active_over_time[-1] = Sample(at, float(self.active))
        else:
            self.active_over_time.append(Sample(at, float(self.active)))

    # ------------------------------------------------------------------ the results

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain JSON values. Times in names that end with ``_ms`` are milliseconds."""
        late = self.lateness.summary()
        took_s = self.at
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "seconds": round(took_s, 1),
            "most_at_once": self.most_active,
            **self.all.to_json(),
            "failures": dict(self.failures.most_common()),
            "by_kind": {kind: measured.to_json() for kind, measured in self.by_kind.items()},
            "load_generator": {
                "late_ms": late,
                "core": round(self._cpu_s / took_s, 3) if took_s else None,
                "peak_mb": round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
                "measures_itself": late["p99"] is not None and late["p99"] > LATE_MS,
            },
        }
