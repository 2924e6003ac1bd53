"""How a source is received: RFC 3550, appendices A.1, A.3 and A.8."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.rtp.reception import Reception, StreamPosition


def reception(*, trusted: bool = True) -> Reception:
    return Reception(1, clock=8000, trusted=trusted)


def test_a_strange_source_has_to_send_two_packets_in_order() -> None:
    one = reception(trusted=False)
    assert one.add(10, 0, 0.0) is None
    assert one.add(12, 320, 0.04) is None
    assert one.add(13, 480, 0.06) is not None
    assert (one.received, one.lost) == (1, 0)


def test_numbers_grow_without_wrapping() -> None:
    one = reception()
    first = one.add(65534, 0xFFFFFF60, 0.0)
    positions = [one.add((65534 + n) % 65536, (0xFFFFFF60 + 160 * n) % 2**32, 0.02 * n) for n in range(1, 5)]
    assert first is not None
    assert positions == [StreamPosition(first.sequence + n, first.timestamp + 160 * n) for n in range(1, 5)]
    assert one.highest == first.sequence + 4
    assert one.lost == 0


def test_a_packet_from_before_the_first_has_its_place_too() -> None:
    one = reception()
    first = one.add(0, 160, 0.0)
    before = one.add(65535, 0, 0.001)
    assert first is not None
    assert before == StreamPosition(first.sequence - 1, first.timestamp - 160)


def test_what_is_missing_is_counted_and_what_comes_late_makes_it_good() -> None:
    one = reception()
    for sequence in (1, 2, 5, 6):
        one.add(sequence, sequence * 160, sequence * 0.02)
    assert (one.expected, one.lost) == (6, 2)
    assert one.fraction_lost() == pytest.approx(2 / 6)
    one.add(3, 480, 0.13)
    assert one.lost == 1
    for sequence in (7, 8):
        one.add(sequence, sequence * 160, sequence * 0.02)
    assert one.fraction_lost() == 0.0  # three expected since, and four came
    assert one.fraction_lost() == 0.0  # nothing was expected since


def test_duplicates_make_the_loss_negative_as_the_rfc_has_it() -> None:
    one = reception()
    for sequence in (1, 1, 1, 2):
        one.add(sequence, 160 * sequence, 0.0)
    assert one.lost == -2


def test_a_number_that_is_far_off_does_not_count() -> None:
    one = reception()
    one.add(1, 0, 0.0)
    assert one.add(3001, 0, 0.02) is None
    assert one.add(65400, 0, 0.02) is None
    assert one.add(2999, 0, 0.02) is not None


def test_jitter_is_the_smoothed_difference_of_transits() -> None:
    one = reception()
    one.add(1, 0, 0.0)
    one.add(2, 160, 0.02)
    assert one.jitter_s == pytest.approx(0.0)
    one.add(3, 320, 0.056)  # 16 ms late
    assert one.jitter_s == pytest.approx(0.001)
    one.add(4, 0, 0.3, sound=False)  # a key, whose packets all have its beginning's time
    assert one.jitter_s == pytest.approx(0.001)
