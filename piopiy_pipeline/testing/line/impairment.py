"""Simulates what a network does to the packets of a call: delay, jitter, reordering, duplicates, loss.

An `Impairment` is a value that says how bad a path is. An `ImpairedPath` is one direction of one call over
it. Neither has a clock or a socket: a packet goes in with the time at which it was sent, and its arrivals
come out with their times. In the direction to the bot it stands in front of the jitter buffer
(`audio.jitter_buffer`), in the direction to the caller after the playout.

Everything random comes from the seed, and each effect has a generator of its own. With the same seed the same
packets are lost, whether or not there is jitter, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from piopiy_pipeline.arguments import check_kind, shown

__all__ = ["Arrival", "GilbertElliott", "ImpairedPath", "Impairment", "LossPattern", "impair"]

P = TypeVar("P")

_LONGEST_JITTER = 8.0  # times the mean, where a distribution has no end of its own
_SAME_MOMENT_S = 1e-6  # packets that a queue holds up leave it one after the other


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a path that is good at times and bad at others (Gilbert 1960, Elliott 1963).

    A path begins good. The mean length of a bad stretch is ``1 / to_good`` packets. All values are probabilities.

    Attributes:
        to_bad: That a good path turns bad, before each packet.
        to_good: That a bad path turns good, before each packet.
        loss_in_bad: That a packet is lost while the path is bad.
        loss_in_good: That a packet is lost while the path is good.

    Raises:
        ValueError: A value is no probability, or a bad path would stay bad for ever.
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
        """Return a path that loses packets in bursts.

        Args:
            loss: The share of packets that is lost in the long run, 0 to 1.
            mean_burst: How many packets are lost in a row, on average; at least 1.

        Raises:
            ValueError: A burst is shorter than a packet, or such bursts cannot make that loss.
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
    """Loss that is given packet by packet.

    Attributes:
        lost: ``"..x.xx"``, or booleans: ``x`` or True where a packet is lost.
        repeat: Whether the pattern begins again at its end; else nothing more is lost then.

    Raises:
        ValueError: The pattern is empty, or has another character.
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
        """Return whether the packet at `index`, from 0, is lost."""
        if index >= len(self.lost):
            if not self.repeat:
                return False
            index %= len(self.lost)
        return self.lost[index] in ("x", True)


@dataclass(frozen=True, slots=True)
class Impairment:
    """How bad one direction of a network path is. The default is a perfect one.

    Attributes:
        delay_ms: How long every packet takes, in milliseconds.
        jitter_ms: How much longer a packet takes, in milliseconds.
        jitter: ``"uniform"``: anything from 0 to `jitter_ms`; ``"exponential"``: `jitter_ms` on average, seldom
            several times that, as behind a busy router.
        keep_order: Whether jitter comes from a queue, in which no packet overtakes another, as is common. If not,
            each packet goes its own way, and jitter of more than 20 ms changes the order.
        reorder: The probability that a packet is delayed while the next ones pass.
        reorder_ms: By how many milliseconds it is delayed.
        duplicate: The probability that a packet arrives twice.
        duplicate_ms: How many milliseconds later the second one arrives.
        loss: A probability for each packet by itself, or `GilbertElliott`, or a `LossPattern`.
        outages: Stretches of ``(from, to)`` seconds since the path began in which everything is lost.

    Raises:
        ValueError: A value is out of range.
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
            value = getattr(self, name)
            check_kind(f"Impairment: {name}", value, (int, float), "a number of milliseconds")
            if not 0 <= value < float("inf"):
                raise ValueError(f"Impairment({name}={shown(value)}): milliseconds, 0 or more")
        _probability("Impairment(reorder)", self.reorder)
        _probability("Impairment(duplicate)", self.duplicate)
        check_kind(
            "Impairment: loss",
            self.loss,
            (int, float, GilbertElliott, LossPattern),
            "a probability, a GilbertElliott or a LossPattern",
        )
        check_kind("Impairment: keep_order", self.keep_order, bool, "True or False")
        if isinstance(self.loss, int | float):
            _probability("Impairment(loss)", self.loss)
        if self.jitter not in ("uniform", "exponential"):
            raise ValueError(f"Impairment(jitter={shown(self.jitter)}): 'uniform' or 'exponential'")
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

    Args:
        impairment: How bad the path is.
        seed: A number or a text. Give the two directions of a call different ones (``f"{seed}/to_bot"``).
    """

    sent: int
    """Packets that went in."""
    lost: int
    """Packets that never came out."""

    def __init__(self, impairment: Impairment, *, seed: int | str) -> None:
        self.impairment = impairment
        self.sent = 0
        self.lost = 0
        self._loss_rng = random.Random(f"{seed}/loss")
        self._jitter_rng = random.Random(f"{seed}/jitter")
        self._reorder_rng = random.Random(f"{seed}/reorder")
        self._duplicate_rng = random.Random(f"{seed}/duplicate")
        self._bad = False
        self._began: float | None = None
        self._queue_empty_at = float("-inf")

    def send(self, packet: P, sent_at: float) -> tuple[Arrival[P], ...]:
        """Send one packet.

        Args:
            packet: The packet.
            sent_at: When it is sent, in seconds of the sender's clock, never earlier than the one before.

        Returns:
            Its arrivals: none if it is lost, two if the network duplicates it.
        """
        how = self.impairment
        if self._began is None:
            self._began = sent_at
        # Every packet draws from all generators, so that what happens to one changes nothing for the next.
        lost = self._loses(self.sent)
        extra_s = self._jitter_s()
        overtaken = self._reorder_rng.random() < how.reorder
        doubled = self._duplicate_rng.random() < how.duplicate
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
        draws = self._loss_rng.random(), self._loss_rng.random()
        match self.impairment.loss:
            case LossPattern() as pattern:
                return pattern.loses(index)
            case GilbertElliott() as model:
                turns = model.to_good if self._bad else model.to_bad
                if draws[0] < turns:
                    self._bad = not self._bad
                return draws[1] < (model.loss_in_bad if self._bad else model.loss_in_good)
            case probability:
                return draws[0] < probability

    def _jitter_s(self) -> float:
        draw = self._jitter_rng.random()
        mean_s = self.impairment.jitter_ms / 1000
        if mean_s == 0 or self.impairment.jitter == "uniform":
            return draw * mean_s
        return min(-math.log1p(-draw), _LONGEST_JITTER) * mean_s


def impair(
    packets: Iterable[tuple[float, P]], impairment: Impairment, *, seed: int | str
) -> list[Arrival[P]]:
    """Send a whole stream of packets over an impaired path.

    Args:
        packets: Pairs of the time in seconds at which a packet is sent, and the packet.
        impairment: How bad the path is.
        seed: Decides everything that is left to chance.

    Returns:
        The arrivals, in the order of their times.
    """
    path = ImpairedPath[P](impairment, seed=seed)
    arrivals = [arrival for sent_at, packet in packets for arrival in path.send(packet, sent_at)]
    return sorted(arrivals, key=lambda arrival: arrival.at)


def _probability(name: str, value: float) -> None:
    check_kind(name, value, (int, float), "a probability from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} = {shown(value)}: a probability from 0 to 1")
