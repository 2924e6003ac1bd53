"""What a network does to the packets of a call, as data: delay, jitter, reordering, duplicates, loss.

An `Impairment` is a value that says how bad a path is; an `ImpairedPath` is one direction of one call
over it. Neither knows clocks or sockets: a packet goes in with the time at which it was sent, and its
arrivals come out with theirs. It stands in front of the jitter buffer (`audio.jitter_buffer`) on the
caller's way to the bot, and behind the playout clock on the way back.

Everything random comes from the seed, and each effect has a generator of its own: with the same seed
the same packets are lost whether or not there is jitter as well.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

__all__ = ["Arrival", "GilbertElliott", "ImpairedPath", "Impairment", "LossPattern", "impair"]

P = TypeVar("P")

_LONGEST_JITTER = 8.0  # times the mean, where a distribution has no end of its own
_SAME_MOMENT_S = 1e-6  # packets that a queue holds up leave it one after the other


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a path that is now good, now bad (Gilbert 1960, Elliott 1963).

    Before each packet a good path turns bad with probability `to_bad`, and a bad one good with
    `to_good`; a packet is then lost with probability `loss_in_good` or `loss_in_bad`. A path begins
    good. The mean length of a bad stretch is ``1 / to_good`` packets.
    """

    to_bad: float
    to_good: float
    loss_in_bad: float = 1.0
    loss_in_good: float = 0.0

    def __post_init__(self) -> None:
        for name in ("to_bad", "to_good", "loss_in_bad", "loss_in_good"):
            _probability(f"GilbertElliott({name})", getattr(self, name))
        if self.to_good == 0 and self.to_bad > 0:
            raise ValueError("GilbertElliott(to_good=0): a path that has turned bad would stay so for ever")

    @classmethod
    def bursts(cls, *, loss: float, mean_burst: float = 4.0) -> GilbertElliott:
        """The path that loses `loss` of its packets in the long run, on average `mean_burst` in a row.

        Raises `ValueError` for bursts shorter than a packet, and for a loss that such bursts cannot make.
        """
        _probability("GilbertElliott.bursts(loss)", loss)
        if mean_burst < 1:
            raise ValueError(f"mean_burst={mean_burst:g}: a burst is at least 1 packet long")
        if loss >= mean_burst / (1 + mean_burst):
            most = mean_burst / (1 + mean_burst)
            raise ValueError(f"loss={loss:g}: bursts of {mean_burst:g} packets lose less than {most:.0%}")
        to_good = 1 / mean_burst
        return cls(to_bad=to_good * loss / (1 - loss), to_good=to_good)


@dataclass(frozen=True, slots=True)
class LossPattern:
    """Loss that is given packet by packet: ``"..x.xx"``, or booleans, true where a packet is lost.

    Behind its end nothing more is lost, or it begins again (`repeat`).
    """

    lost: str | Sequence[bool]
    repeat: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.lost, str) and (wrong := set(self.lost) - set(".x")):
            raise ValueError(
                f"loss pattern {self.lost!r}: only '.' (arrives) and 'x' (lost), no {min(wrong)!r}"
            )
        if not len(self.lost):
            raise ValueError("a loss pattern must not be empty")

    def loses(self, index: int) -> bool:
        """Whether the packet at `index`, from 0, is lost."""
        if index >= len(self.lost):
            if not self.repeat:
                return False
            index %= len(self.lost)
        return self.lost[index] in ("x", True)


@dataclass(frozen=True, slots=True)
class Impairment:
    """How bad one direction of a network path is. The default is a perfect one.

    - `delay_ms`: what every packet takes.
    - `jitter_ms`: what a packet takes beyond that. ``"uniform"``: anything from 0 to `jitter_ms`;
      ``"exponential"``: `jitter_ms` on average, seldom several times that, as behind a busy router.
    - `keep_order`: whether jitter comes from a queue, in which nobody overtakes (the rule); without
      it each packet goes a way of its own, and jitter of more than 20 ms changes the order.
    - `reorder`: the probability that a packet is held up by `reorder_ms` while the next ones pass.
    - `duplicate`: the probability that a packet arrives twice, the second `duplicate_ms` behind.
    - `loss`: a probability for each packet by itself, or `GilbertElliott`, or a `LossPattern`.
    - `outages`: stretches of ``(from, to)`` seconds since the path began in which all is lost.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    jitter: Literal["uniform", "exponential"] = "uniform"
    keep_order: bool = True
    reorder: float = 0.0
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    duplicate_ms: float = 5.0
    loss: float | GilbertElliott | LossPattern = 0.0
    outages: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "reorder_ms", "duplicate_ms"):
            if not 0 <= (value := getattr(self, name)) < float("inf"):
                raise ValueError(f"Impairment({name}={value!r}): milliseconds, 0 or more")
        _probability("Impairment(reorder)", self.reorder)
        _probability("Impairment(duplicate)", self.duplicate)
        if isinstance(self.loss, int | float):
            _probability("Impairment(loss)", self.loss)
        if self.jitter not in ("uniform", "exponential"):
            raise ValueError(f"Impairment(jitter={self.jitter!r}): 'uniform' or 'exponential'")
        for begin, end in self.outages:
            if not 0 <= begin < end:
                raise ValueError(
                    f"outage ({begin:g}, {end:g}): two times in seconds, the first before the other"
                )


class Arrival(NamedTuple, Generic[P]):
    """A packet that got through, and when."""

    at: float
    packet: P


class ImpairedPath(Generic[P]):
    """One direction of one call over an impaired path. Packets may be of any kind.

    `seed` may be a number or a text; give the two directions of a call different ones
    (``f"{seed}/to_bot"``). Times are seconds of the sender's clock.
    """

    sent: int
    """Packets that went in."""
    lost: int
    """Packets that never came out."""

    def __init__(self, impairment: Impairment, *, seed: int | str) -> None:
        self.impairment = impairment
        self.sent = 0
        self.lost = 0
        self._loss_dice = random.Random(f"{seed}/loss")
        self._jitter_dice = random.Random(f"{seed}/jitter")
        self._reorder_dice = random.Random(f"{seed}/reorder")
        self._duplicate_dice = random.Random(f"{seed}/duplicate")
        self._bad = False
        self._began: float | None = None
        self._queue_empty_at = float("-inf")

    def send(self, packet: P, sent_at: float) -> tuple[Arrival[P], ...]:
        """Send one packet; its arrivals: none when it is lost, two when the network doubles it.

        Packets must be sent in the order of their times.
        """
        how = self.impairment
        if self._began is None:
            self._began = sent_at
        # All dice are thrown for every packet: what happens to one changes nothing for the next.
        lost = self._loses(self.sent)
        extra_s = self._jitter_s()
        overtaken = self._reorder_dice.random() < how.reorder
        doubled = self._duplicate_dice.random() < how.duplicate
        self.sent += 1
        since = sent_at - self._began
        if lost or any(begin <= since < end for begin, end in how.outages):
            self.lost += 1
            return ()
        at = sent_at + how.delay_ms / 1000 + extra_s
        if how.keep_order:
            if at <= self._queue_empty_at:
                at = self._queue_empty_at + _SAME_MOMENT_S
            self._queue_empty_at = at
        if overtaken:
            at += how.reorder_ms / 1000
        if doubled:
            return Arrival(at, packet), Arrival(at + how.duplicate_ms / 1000, packet)
        return (Arrival(at, packet),)

    def _loses(self, index: int) -> bool:
        dice = self._loss_dice.random(), self._loss_dice.random()
        match self.impairment.loss:
            case LossPattern() as pattern:
                return pattern.loses(index)
            case GilbertElliott() as model:
                turns = model.to_good if self._bad else model.to_bad
                if dice[0] < turns:
                    self._bad = not self._bad
                return dice[1] < (model.loss_in_bad if self._bad else model.loss_in_good)
            case probability:
                return dice[0] < probability

    def _jitter_s(self) -> float:
        dice = self._jitter_dice.random()
        mean_s = self.impairment.jitter_ms / 1000
        if mean_s == 0 or self.impairment.jitter == "uniform":
            return dice * mean_s
        return min(-math.log1p(-dice), _LONGEST_JITTER) * mean_s


def impair(
    packets: Iterable[tuple[float, P]], impairment: Impairment, *, seed: int | str
) -> list[Arrival[P]]:
    """A whole stream at once: ``(sent_at, packet)`` in, arrivals in the order of their times out."""
    path = ImpairedPath[P](impairment, seed=seed)
    arrivals = [arrival for sent_at, packet in packets for arrival in path.send(packet, sent_at)]
    return sorted(arrivals, key=lambda arrival: arrival.at)


def _probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} = {value!r}: a probability from 0 to 1")
