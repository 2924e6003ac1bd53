"""Whether a media stream moves, by what heartbeats say of it."""

from __future__ import annotations

from piopiy_pipeline.gateway.core.media_progress import MediaProgress

FRAME = 640


def test_a_stream_that_moves_does_not_stand_however_far_it_is_behind() -> None:
    progress = MediaProgress()
    for at in range(100):
        sent = (at + 50) * 12 * FRAME
        assert not progress.heartbeat(sent=sent, heard=at * 12 * FRAME, said=0, received=0)


def test_a_stream_in_which_nothing_arrives_stands_after_five_heartbeats() -> None:
    progress = MediaProgress()
    verdicts = [
        progress.heartbeat(sent=at * FRAME, heard=3 * FRAME, said=0, received=0) for at in range(3, 12)
    ]
    assert verdicts == [False] * 6 + [True] * 3, "at the first, nothing is late"


def test_the_other_direction_counts_as_well() -> None:
    progress = MediaProgress()
    verdicts = [progress.heartbeat(sent=0, heard=0, said=9 * FRAME, received=FRAME) for _ in range(8)]
    assert verdicts[:2] == [False, False]
    assert verdicts[-1]


def test_a_stream_on_which_nobody_speaks_does_not_stand() -> None:
    progress = MediaProgress()
    assert not any(
        progress.heartbeat(sent=FRAME, heard=FRAME, said=2 * FRAME, received=2 * FRAME) for _ in range(50)
    )


def test_one_piece_that_arrives_begins_the_count_again() -> None:
    progress = MediaProgress()
    heard = 0
    for at in range(40):
        heard += at % 5 == 0
        assert not progress.heartbeat(sent=1000 + at, heard=heard, said=0, received=0)
