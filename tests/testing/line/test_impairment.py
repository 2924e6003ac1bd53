"""What an impaired path does to packets, and that the seed alone decides it."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

from piopiy_pipeline.testing.line.impairment import (
    Arrival,
    GilbertElliott,
    ImpairedPath,
    Impairment,
    LossPattern,
    impair,
)

MINUTE = [(n * 0.02, n) for n in range(3000)]
LONG = [(n * 0.02, n) for n in range(100_000)]


def arrive(
    impairment: Impairment, packets: list[tuple[float, int]] = MINUTE, seed: int = 1
) -> list[Arrival[int]]:
    return impair(packets, impairment, seed=seed)


def lost(impairment: Impairment, packets: list[tuple[float, int]] = MINUTE, seed: int = 1) -> list[int]:
    there = {packet for _, packet in arrive(impairment, packets, seed)}
    return [packet for _, packet in packets if packet not in there]


def test_a_perfect_path_delivers_everything_at_once() -> None:
    assert arrive(Impairment()) == [Arrival(at, n) for at, n in MINUTE]


def test_delay_is_added_to_every_packet() -> None:
    assert [at for at, _ in arrive(Impairment(delay_ms=80))[:2]] == pytest.approx([0.08, 0.1])


def test_independent_loss_loses_its_share() -> None:
    assert len(lost(Impairment(loss=0.05), LONG)) == pytest.approx(5000, rel=0.1)


def test_bursts_lose_their_share_in_runs_of_the_given_length() -> None:
    gone = lost(Impairment(loss=GilbertElliott.bursts(loss=0.05, mean_burst=4)), LONG)
    runs = sum(1 for before, n in zip([-2, *gone], gone, strict=False) if n != before + 1)
    assert len(gone) == pytest.approx(5000, rel=0.15)
    assert len(gone) / runs == pytest.approx(4, rel=0.15)


def test_a_good_stretch_may_lose_packets_too_and_a_bad_one_let_some_through() -> None:
    model = GilbertElliott(to_bad=0.1, to_good=0.4, loss_in_bad=0.5, loss_in_good=0.01)
    expected = 0.2 * 0.5 + 0.8 * 0.01  # a fifth of the time the path is bad
    assert len(lost(Impairment(loss=model), LONG)) == pytest.approx(expected * len(LONG), rel=0.1)


def test_a_pattern_loses_exactly_what_it_says_once_or_again_and_again() -> None:
    assert lost(Impairment(loss=LossPattern("..x.x"))) == [2, 4]
    assert lost(Impairment(loss=LossPattern([False, True], repeat=True)))[:3] == [1, 3, 5]


def test_an_outage_loses_all_that_is_sent_meanwhile() -> None:
    gone = lost(Impairment(outages=((1.0, 1.5), (3.0, 3.02))))
    assert gone == [*range(50, 75), 150]


def test_jitter_stays_within_its_bounds_and_nobody_overtakes_in_a_queue() -> None:
    arrivals = arrive(Impairment(delay_ms=50, jitter_ms=40))
    waits = [at - packet * 0.02 for at, packet in arrivals]
    assert min(waits) >= 0.05
    assert max(waits) <= 0.09 + 1e-4
    assert max(waits) - min(waits) > 0.035
    assert [packet for _, packet in arrivals] == [packet for _, packet in MINUTE]


def test_exponential_jitter_has_its_mean_and_an_end() -> None:
    arrivals = arrive(Impairment(jitter_ms=10, jitter="exponential", keep_order=False), LONG)
    waits = [at - packet * 0.02 for at, packet in arrivals]
    assert sum(waits) / len(waits) == pytest.approx(0.01, rel=0.05)
    assert max(waits) <= 0.08 + 1e-9


def test_jitter_without_a_queue_changes_the_order() -> None:
    order = [packet for _, packet in arrive(Impairment(jitter_ms=60, keep_order=False))]
    assert order != sorted(order)


def test_a_packet_that_is_held_up_is_overtaken_by_the_next() -> None:
    order = [packet for _, packet in arrive(Impairment(reorder=0.1))]
    swapped = sum(1 for a, b in itertools.pairwise(order) if b < a)
    assert swapped == pytest.approx(300, rel=0.3)
    assert sorted(order) == [packet for _, packet in MINUTE]


def test_a_duplicate_comes_a_little_behind_the_first() -> None:
    arrivals = arrive(Impairment(duplicate=0.1, duplicate_ms=3))
    assert len(arrivals) == pytest.approx(3300, rel=0.05)
    behind = [b.at - a.at for a, b in itertools.pairwise(arrivals) if a.packet == b.packet]
    assert len(behind) == len(arrivals) - len(MINUTE)
    assert behind == pytest.approx([0.003] * len(behind))


def test_the_same_seed_is_the_same_network_and_another_seed_another() -> None:
    bad = Impairment(jitter_ms=30, loss=GilbertElliott.bursts(loss=0.05), reorder=0.02, duplicate=0.01)
    assert arrive(bad, seed=7) == arrive(bad, seed=7)
    assert arrive(bad, seed=7) != arrive(bad, seed=8)


def test_one_effect_does_not_change_the_fate_that_another_decides() -> None:
    alone = lost(Impairment(loss=0.05))
    assert alone == lost(Impairment(loss=0.05, jitter_ms=40, reorder=0.1, duplicate=0.1, outages=((80, 90),)))


def test_a_path_counts_what_went_in_and_what_never_came_out() -> None:
    path = ImpairedPath[str](Impairment(loss=LossPattern(".x.")), seed="call 1/to_bot")
    assert [len(path.send(name, at)) for name, at in (("a", 0.0), ("b", 0.02), ("c", 0.04))] == [1, 0, 1]
    assert (path.sent, path.lost) == (3, 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Impairment(loss=5), "probability from 0 to 1"),
        (lambda: Impairment(delay_ms=-1), "delay_ms=-1"),
        (lambda: Impairment(jitter=cast(Any, "pareto")), "'uniform' or 'exponential'"),
        (lambda: Impairment(outages=((3, 2),)), "the first before the other"),
        (lambda: LossPattern("..y"), "no 'y'"),
        (lambda: LossPattern(""), "must not be empty"),
        (lambda: GilbertElliott(to_bad=0.1, to_good=0), "for ever"),
        (lambda: GilbertElliott.bursts(loss=0.9, mean_burst=2), "lose less than 67%"),
        (lambda: GilbertElliott.bursts(loss=0.1, mean_burst=0.5), "at least 1 packet"),
    ],
)
def test_a_path_that_cannot_be_is_refused_with_the_reason(wrong: object, says: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=says):
        wrong()
