"""Chunks cover a sentence without a gap, whatever the rates are."""

from itertools import pairwise

import pytest

from piopiy_pipeline.services.tts.piper_chunks import CONTEXT, plan_chunks

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 11_027]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("count", "begin", "end"), [(1, 0, 1), (45, 3, 40), (700, 0, 700), (700, 9, 650)])
def test_together_they_are_the_sentence(count: int, begin: int, end: int, rate: int) -> None:
    chunks = list(plan_chunks(count, begin, end, hop=256, rate_in=22_050, rate_out=rate))
    wanted = (end - begin) * 256 * rate / 22_050
    assert abs(sum(chunk.out[1] - chunk.out[0] for chunk in chunks) - wanted) <= 1
    assert [chunk.first for chunk in chunks] == [True, *[False] * (len(chunks) - 1)]
    assert [chunk.last for chunk in chunks] == [*[False] * (len(chunks) - 1), True]


@pytest.mark.parametrize("rate", RATES)
def test_each_has_the_frames_that_its_samples_need(rate: int) -> None:
    for chunk in plan_chunks(700, 9, 650, hop=256, rate_in=22_050, rate_out=rate):
        first, last = chunk.frames
        assert 0 <= first < last <= 700
        assert chunk.skip >= 0
        assert chunk.skip + chunk.samples <= (last - first) * 256
        assert first == 0 or chunk.skip >= CONTEXT * 256
        assert last == 700 or (last - first) * 256 - chunk.skip - chunk.samples >= CONTEXT * 256


def test_the_first_is_short_and_none_is_longer_than_a_second() -> None:
    chunks = list(plan_chunks(700, 0, 700, hop=256, rate_in=22_050, rate_out=16_000))
    lengths = [(chunk.out[1] - chunk.out[0]) / 16_000 for chunk in chunks]
    assert lengths[0] <= 0.4
    assert max(lengths) <= 1.05
    assert all(earlier <= later for earlier, later in pairwise(lengths[:-1]))
