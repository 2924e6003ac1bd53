"""Opus packets that are lost, late or out of order: their sound is rebuilt, concealed, or taken as it is."""

from __future__ import annotations

import wave
from collections.abc import Collection, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.gateway.rtp.codecs import OpusCodec
from piopiy_pipeline.gateway.rtp.opus_receiver import MOST_WAITING, OpusReceiver
from piopiy_pipeline.gateway.rtp.packet import RtpPacket
from piopiy_pipeline.gateway.rtp.receiver import RtpReceiver
from piopiy_pipeline.gateway.rtp.reception import StreamPosition

RATE, FRAME = 16_000, 320
SOURCE = ("192.0.2.1", 4000)
EVENTS, OPUS = 101, 96


def speech() -> NDArray[np.int16]:
    """3 s of a recorded voice."""
    with wave.open("tests/audio/booking/01-people.wav") as recording:
        assert recording.getframerate() == RATE
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
    return pcm[: pcm.size // FRAME * FRAME]


def encoded(pcm: NDArray[np.int16], *, loss: float) -> list[bytes]:
    codec = OpusCodec()
    codec.expect_loss(loss)
    return [codec.encode(pcm[start : start + FRAME].tobytes()) for start in range(0, pcm.size, FRAME)]


def heard(packets: Sequence[bytes], *, without: Collection[int], step: int = 960) -> NDArray[np.int16]:
    """What a call hears of these packets, one every 20 ms."""
    codec = OpusCodec()
    one = RtpReceiver(rate=codec.rate)
    one.agree(codecs={OPUS: codec}, events={EVENTS: 48_000}, signalled=SOURCE)
    frames = []
    for n, payload in enumerate(packets):
        if n not in without:
            packet = RtpPacket(OPUS, False, 100 + n, 5000 + step * n, 1, payload)
            assert one.receive(packet, SOURCE, n * 0.02) == ""
        frames.append(one.take(n * 0.02 + 0.005))
    return np.frombuffer(b"".join(frames), np.int16)


def likeness(sent: NDArray[np.int16], heard: NDArray[np.int16], frames: Collection[int]) -> float:
    """How well these frames are found again within 100 ms, as the mean of their best correlations."""
    found = []
    for n in frames:
        frame = sent[n * FRAME : (n + 1) * FRAME].astype(float)
        around = heard[n * FRAME : (n + 6) * FRAME].astype(float)
        places = np.lib.stride_tricks.sliding_window_view(around, FRAME)
        norms = np.sqrt((places**2).sum(axis=1) * (frame @ frame) + 1.0)
        found.append(float((places @ frame / norms).max()))
    return float(np.mean(found))


@pytest.mark.parametrize("step", [960, 320, 480, 1920, 0])
def test_a_lost_packet_is_rebuilt_from_the_copy_in_the_one_behind_it(step: int) -> None:
    """Also where the phone counts its timestamps on another clock."""
    loud = [n for n, frame in enumerate(speech().reshape(-1, FRAME)) if np.abs(frame).max() > 3000]
    lost = [n for n in loud if n % 5 == 0]
    assert len(lost) > 8
    found = {}
    for loss in (0.2, 0.0):
        packets = encoded(speech(), loss=loss)
        decoder = OpusCodec()
        sent = np.frombuffer(b"".join(map(decoder.decode, packets)), np.int16)
        found[loss] = likeness(sent, heard(packets, without=lost, step=step), lost)
    assert found[0.2] > 0.95
    assert found[0.2] > found[0.0] + 0.1  # without copies it is concealed


def position(n: int) -> StreamPosition:
    return StreamPosition(n, n * 960)


def test_packets_that_change_places_are_heard_as_they_were_sent() -> None:
    packets = encoded(speech(), loss=0.0)
    sent, decoder, one = list(range(40)), OpusCodec(), OpusReceiver(OpusCodec())
    sent[20], sent[21] = 21, 20
    ready = [packet.pcm for n in sent for packet in one.add(position(n), packets[n], n * 0.02)]
    assert ready == [decoder.decode(packet) for packet in packets[:40]]
    assert (one.late, one.rebuilt) == (0, 0)


def test_a_long_gap_is_concealed_where_it_begins_and_rebuilt_where_it_ends() -> None:
    packets = encoded(speech(), loss=0.2)
    one = OpusReceiver(OpusCodec())
    assert [packet.position for packet in one.add(position(0), packets[0], 0.0)] == [position(0)]
    assert one.add(position(10), packets[10], 0.2) == []
    assert one.waiting
    ready = one.release()
    assert [packet.position.sequence for packet in ready] == [1, 2, 3, 4, 5, 9, 10]
    assert all(packet.position == position(packet.position.sequence) for packet in ready)
    assert {len(packet.pcm) for packet in ready} == {2 * FRAME}
    assert ready[0].arrived < ready[-1].arrived == 0.2
    assert (one.rebuilt, one.waiting, one.release()) == (6, False, [])


def test_a_packet_whose_place_was_filled_is_late() -> None:
    packets = encoded(speech(), loss=0.0)
    one = OpusReceiver(OpusCodec())
    one.add(position(0), packets[0], 0.0)
    one.add(position(2), packets[2], 0.04)
    one.release()
    assert one.add(position(1), packets[1], 0.06) == []
    assert one.late == 1


def test_no_more_than_so_many_packets_wait() -> None:
    packets = encoded(speech(), loss=0.0)
    one = OpusReceiver(OpusCodec())
    one.add(position(0), packets[0], 0.0)
    for n in range(2, 2 + MOST_WAITING):
        assert one.add(position(n), packets[n], n * 0.02) == []
    assert len(one.add(position(2 + MOST_WAITING), packets[20], 1.0)) == MOST_WAITING + 2
    assert not one.waiting


def test_keys_between_the_packets_are_no_loss() -> None:
    packets = encoded(speech(), loss=0.0)
    one = OpusReceiver(OpusCodec())
    one.add(position(0), packets[0], 0.0)
    assert one.add(position(1), None, 0.02) == []
    assert [packet.position for packet in one.add(position(2), packets[2], 0.04)] == [position(2)]
    assert one.rebuilt == 0


def test_a_packet_that_holds_no_opus_leaves_its_place_empty() -> None:
    packets = encoded(speech(), loss=0.0)
    one = OpusReceiver(OpusCodec())
    one.add(position(0), packets[0], 0.0)
    [broken] = one.add(position(1), b"\xff" * 5, 0.02)
    assert broken.pcm == b""
    assert len(one.add(position(2), packets[2], 0.04)) == 1
