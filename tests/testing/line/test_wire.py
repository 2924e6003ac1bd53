"""A whole direction of a call over a line, 20 ms at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.testing.line.impairment import GilbertElliott, Impairment, LossPattern
from piopiy_pipeline.testing.line.line import Line, Noise
from piopiy_pipeline.testing.line.wire import Direction, Wire

RATE = 16000
FRAME = 320
SPEECH = read_wav(Path(__file__).parents[2] / "audio" / "booking" / "01-people.wav", RATE)
BAD = Line(network=Impairment(delay_ms=30, jitter_ms=40, loss=GilbertElliott.bursts(loss=0.05)))


def carried(wire: Wire, pcm: NDArray[np.int16] = SPEECH) -> NDArray[np.int16]:
    frames = [pcm[n : n + FRAME].tobytes() for n in range(0, pcm.size - FRAME + 1, FRAME)]
    return np.frombuffer(b"".join(wire.carry(f, 5.0 + n * 0.02) for n, f in enumerate(frames)), "<i2")


def test_a_perfect_line_takes_no_time_and_says_so() -> None:
    wire = Wire(Line(), "to_bot", rate=RATE, seed=1)
    assert wire.perfect
    assert np.array_equal(carried(wire), SPEECH[: SPEECH.size // FRAME * FRAME])
    assert wire.stats(9.0) is None


def test_delay_and_the_jitter_buffer_are_heard_as_a_delay() -> None:
    heard = carried(Wire(Line(network=Impairment(delay_ms=60)), "to_bot", rate=RATE, seed=1))
    assert not heard[: 5 * FRAME].any(), "60 ms on the way, 40 ms in the buffer"
    lag = 5 * FRAME - 240  # of which the buffer takes 15 ms out again, in the silence before the first word
    assert np.array_equal(heard[-20 * FRAME :], SPEECH[: SPEECH.size // FRAME * FRAME][:-lag][-20 * FRAME :])


def test_every_packet_that_is_not_heard_is_told_with_its_number() -> None:
    lost: list[int] = []
    line = Line(to_bot=Impairment(loss=LossPattern("....xx...x")))
    carried(Wire(line, "to_bot", rate=RATE, seed=1, on_lost=lost.append))
    assert lost == [4, 5, 9]


def test_a_packet_that_comes_too_late_is_told_too() -> None:
    lost: list[int] = []
    line = Line(network=Impairment(reorder=0.05, reorder_ms=300))
    wire = Wire(line, "to_bot", rate=RATE, seed=1, on_lost=lost.append)
    carried(wire)
    stats = wire.stats(9.0)
    assert stats is not None
    assert len(lost) == stats.late > 0


@pytest.mark.parametrize(("direction", "loses"), [("to_bot", 0), ("to_caller", 3)])
def test_one_direction_can_have_a_network_of_its_own(direction: Direction, loses: int) -> None:
    line = Line(network=Impairment(loss=LossPattern("xxx")), to_bot=Impairment())
    lost: list[int] = []
    carried(Wire(line, direction, rate=RATE, seed=1, on_lost=lost.append))
    assert len(lost) == loses


def test_the_caller_does_not_hear_the_noise_behind_them() -> None:
    line = Line(noise=Noise("white", snr_db=10))
    assert Wire(line, "to_caller", rate=RATE, seed=1).perfect
    assert carried(Wire(line, "to_bot", rate=RATE, seed=1), np.zeros(FRAME * 5, np.int16)).any()


def test_the_same_seed_is_the_same_call_and_the_two_directions_differ() -> None:
    first, again = (carried(Wire(BAD, "to_bot", rate=RATE, seed=1)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, carried(Wire(BAD, "to_bot", rate=RATE, seed=2)))
    assert not np.array_equal(first, carried(Wire(BAD, "to_caller", rate=RATE, seed=1)))


def test_a_long_call_keeps_its_numbers() -> None:
    lost: list[int] = []
    line = Line(network=Impairment(loss=LossPattern("." * 70_000 + "x")))
    wire = Wire(line, "to_bot", rate=8000, seed=1, on_lost=lost.append)
    for n in range(70_010):
        wire.carry(bytes(320), n * 0.02)
    assert lost == [70_000]


def test_a_frame_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no 20 ms at 16000 Hz"):
        Wire(Line(), "to_bot", rate=RATE, seed=1).carry(bytes(320), 0.0)
