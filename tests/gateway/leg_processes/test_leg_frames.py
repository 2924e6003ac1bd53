"""Frames between the gateway and a leg process, in whatever pieces the socket brings them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.leg_processes.leg_frames import FrameKind, Splitter, WireError, pack


@given(
    frames=st.lists(st.tuples(st.sampled_from(FrameKind), st.integers(0, 2**32 - 1), st.binary(max_size=50))),
    cuts=st.lists(st.integers(1, 40)),
)
def test_frames_come_out_as_they_went_in(frames: list[tuple[FrameKind, int, bytes]], cuts: list[int]) -> None:
    data = b"".join(pack(*frame) for frame in frames)
    splitter, found, at = Splitter(), [], 0
    for cut in [*cuts, len(data)]:
        found += list(splitter.feed(data[at : at + cut]))
        at += cut
    found += list(splitter.feed(data[at:]))
    assert found == frames


def test_a_frame_beyond_the_limit_is_refused_on_both_ends() -> None:
    with pytest.raises(WireError):
        pack(FrameKind.AUDIO, 1, bytes((1 << 20) + 1))
    with pytest.raises(WireError):
        list(Splitter().feed(b"\xff\xff\xff\xff\x00\x00\x00\x00\x00"))
