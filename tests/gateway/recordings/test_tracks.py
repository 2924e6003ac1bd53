"""Where sound belongs that came late, in bursts, or too fast. Positions are in samples, at 1000 a second here."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.recordings.tracks import MOST_EARLY_S, Track

RATE = 1000
FRAME = 20


def sound(value: int, samples: int = FRAME) -> bytes:
    return array("h", [value] * samples).tobytes()


def laid(track: Track, upto: int) -> list[int]:
    """The track from its beginning, as it would be in a file."""
    side = array("h", bytes(2 * upto))
    for start, pcm in track.take(upto):
        samples = array("h", pcm)
        side[start : start + len(samples)] = samples
    return list(side)


def stretches(side: list[int]) -> list[tuple[int, int]]:
    """What lies there: each value and how long it goes on."""
    found: list[tuple[int, int]] = []
    for value in side:
        if found and found[-1][0] == value:
            found[-1] = value, found[-1][1] + 1
        else:
            found.append((value, 1))
    return found


@pytest.fixture
def track() -> Track:
    return Track(RATE, joins_s=0.1)


def test_pieces_in_time_lie_where_they_were_said(track: Track) -> None:
    for number in range(1, 6):
        track.add(sound(number), number * FRAME)
    assert stretches(laid(track, 100)) == [(1, 20), (2, 20), (3, 20), (4, 20), (5, 20)]


def test_jitter_is_not_heard(track: Track) -> None:
    for number, late in enumerate([0, 35, 15, 80, 60, 40, 20, 0], 1):
        track.add(sound(number), number * FRAME + late)
    assert stretches(laid(track, 160)) == [(number, 20) for number in range(1, 9)]


def test_a_pause_is_silence(track: Track) -> None:
    track.add(sound(1), 20)
    track.add(sound(2), 520)
    assert stretches(laid(track, 520)) == [(1, 20), (0, 480), (2, 20)]


def test_a_pause_that_was_a_stall_is_closed_up_when_what_was_said_comes(track: Track) -> None:
    track.add(sound(1), 20)
    for number in range(2, 52):
        track.add(sound(number), 1020)  # a second's worth at once
    track.add(sound(99), 1040)
    side = laid(track, 1040)
    assert side == [number for number in range(1, 52) for _ in range(20)] + [99] * 20


def test_a_pause_is_closed_up_as_far_as_what_came_after_it_is_too_early(track: Track) -> None:
    track.add(sound(1), 20)
    track.add(sound(2), 1020)
    track.add(sound(3), 1020)  # of the silence, 20 were a stall
    assert stretches(laid(track, 1020)) == [(1, 20), (0, 960), (2, 20), (3, 20)]


def test_what_is_on_disk_is_not_moved(track: Track) -> None:
    track.add(sound(1), 20)
    assert stretches(laid(track, 900)) == [(1, 20), (0, 880)]
    for number in range(2, 12):
        track.add(sound(number), 1020)
    pieces = track.take(2000)
    assert [start for start, _ in pieces] == list(range(900, 1100, 20))


def test_a_piece_is_cut_where_the_disk_begins(track: Track) -> None:
    track.add(sound(1, 100), 100)
    assert track.take(30) == [(0, sound(1, 30))]
    track.add(sound(2, 100), 200)
    assert track.take(200) == [(30, sound(1, 70)), (100, sound(2, 100))]
    assert track.take(300) == []


def test_a_side_that_is_faster_than_the_clock_is_held_back(track: Track) -> None:
    for number in range(1, 1001):
        track.add(sound(1), number * FRAME * 9 // 10)
    end = 1000 * FRAME * 9 // 10
    assert track.end == end + MOST_EARLY_S * RATE
    assert track.dropped == 1000 * FRAME - track.end


def test_a_side_that_is_slower_than_the_clock_stays_near_it(track: Track) -> None:
    for number in range(1, 1001):
        end = number * FRAME * 11 // 10
        track.add(sound(1), end)
        assert 0 <= end - track.end <= 100


def test_large_pieces_are_as_good_as_small_ones(track: Track) -> None:
    for number in range(1, 6):
        track.add(sound(number, 900), number * 900)
        if number > 1:
            track.take(number * 900 - 1000)
    assert (track.end, track.dropped) == (4500, 0)


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 400), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_comes_no_two_pieces_overlap_and_none_is_lost_unnoticed(
    arrivals: list[tuple[float, int, bool]],
) -> None:
    track, now, added, position, kept = Track(RATE, joins_s=0.1), 0.0, 0, 0, 0
    for wait, samples, write in arrivals:
        now += wait
        track.add(sound(1, samples), round(now * RATE))
        added += samples
        pieces = track.take(round((now - 1) * RATE) if write else 0) if now > 1 else []
        for start, pcm in pieces:
            assert start >= position
            position = start + len(pcm) // 2
            kept += len(pcm) // 2
    for start, pcm in track.take(track.end):
        assert start >= position
        position = start + len(pcm) // 2
        kept += len(pcm) // 2
    assert kept + track.dropped == added
