"""The jitter buffer: order, what is late, what is missing, and how long it makes the listener wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.jitter_buffer import JitterBuffer, JitterStats, MediaPacket, Taken
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.testing.line.impairment import GilbertElliott, Impairment, LossPattern, impair

RATE = 16000
FRAME = 320
SPEECH = Path(__file__).parent / "booking_at_once" / "01-everything.wav"


def packet(n: int, *, value: int | None = None, samples: int = FRAME) -> MediaPacket:
    """The n-th packet of a stream; every sample is `value`, or n + 1, which tells it from the others."""
    return MediaPacket(
        n & 0xFFFF, (n * samples) & 0xFFFFFFFF, np.full(samples, value or n + 1, "<i2").tobytes()
    )


def numbers(pcm: bytes) -> list[int]:
    """Which packets are in this."""
    return sorted({int(value) - 1 for value in np.frombuffer(pcm, "<i2")})


@dataclass
class Heard:
    frames: list[Taken] = field(default_factory=list)
    stats: JitterStats | None = None

    @property
    def kinds(self) -> str:
        return "".join(frame.kind[0] for frame in self.frames)

    @property
    def pcm(self) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(frame.pcm for frame in self.frames), "<i2")


def play(
    buffer: JitterBuffer, arrivals: Iterable[tuple[float, MediaPacket]], *, seconds: float, begin: float = 0.0
) -> Heard:
    """Take a frame each 20 ms, and add each packet in its time."""
    heard, waiting = Heard(), sorted(arrivals, key=lambda a: a[0])
    for n in range(round(seconds / 0.02)):
        now = begin + n * 0.02
        while waiting and waiting[0][0] <= now + 1e-9:
            at, arrived = waiting.pop(0)
            buffer.add(arrived, at)
        heard.frames.append(buffer.take(now))
    heard.stats = buffer.stats(begin + seconds)
    return heard


def stream(
    count: int, impairment: Impairment | None = None, make: Callable[[int], MediaPacket] = packet
) -> list[tuple[float, MediaPacket]]:
    return list(impair([(n * 0.02, make(n)) for n in range(count)], impairment or Impairment(), seed=1))


def spoken(pcm: NDArray[np.int16]) -> Callable[[int], MediaPacket]:
    return lambda n: MediaPacket(n & 0xFFFF, n * FRAME, pcm[n * FRAME : (n + 1) * FRAME].tobytes())


def steady(count: int = 200) -> Callable[[int], MediaPacket]:
    """Packets of a loud hiss, of which nothing can be taken out unheard."""
    dice = np.random.default_rng(5)
    return spoken(np.rint(dice.standard_normal(count * FRAME) * 3000).astype(np.int16))


# ---------------------------------------------------------------------- a good network


def test_it_says_whether_the_next_20_ms_are_here() -> None:
    buffer = JitterBuffer(rate=RATE, initial_ms=20)
    assert not buffer.supplied
    buffer.add(packet(0), 0.0)
    assert not buffer.supplied, "it has not begun to play"
    buffer.take(0.02)
    assert not buffer.supplied, "what there was is played"
    buffer.add(packet(2), 0.03)
    assert not buffer.supplied, "the next is missing"
    buffer.add(packet(1), 0.035)
    assert buffer.supplied
    assert buffer.take(0.04).kind == "voice"
    assert buffer.supplied, "the one behind it is here, too"


def test_half_of_the_next_20_ms_is_not_enough() -> None:
    buffer = JitterBuffer(rate=RATE, initial_ms=20)
    for n in range(2):
        buffer.add(packet(n, samples=FRAME // 2), 0.01 * n)
    buffer.take(0.02)
    buffer.add(packet(2, samples=FRAME // 2), 0.02)
    assert not buffer.supplied


def test_on_a_perfect_network_every_sample_is_played_in_order_after_the_initial_delay() -> None:
    pcm = np.frombuffer(b"".join(steady()(n).pcm for n in range(200)), "<i2")
    heard = play(JitterBuffer(rate=RATE, initial_ms=40), stream(200, make=steady()), seconds=4.04)
    assert heard.kinds == "ss" + "v" * 200
    assert np.array_equal(heard.pcm[2 * FRAME :], pcm)
    assert heard.stats is not None
    assert (heard.stats.received, heard.stats.lost, heard.stats.late) == (200, 0, 0)


def test_packets_of_any_length_are_cut_into_frames_of_20_ms() -> None:
    arrivals = [(n * 0.03, packet(n, samples=480)) for n in range(40)]
    heard = play(JitterBuffer(rate=RATE, initial_ms=60, min_ms=60), arrivals, seconds=1.2)
    assert set(heard.kinds[3:]) == {"v"}
    assert {len(frame.pcm) for frame in heard.frames} == {2 * FRAME}


def test_numbers_that_wrap_are_nothing_special() -> None:
    arrivals = [
        (
            n * 0.02,
            MediaPacket((65530 + n) & 0xFFFF, (2**32 - 5 * FRAME + n * FRAME) & 0xFFFFFFFF, packet(n).pcm),
        )
        for n in range(20)
    ]
    heard = play(JitterBuffer(rate=RATE), arrivals, seconds=0.4)
    assert heard.kinds == "ss" + "v" * 18
    assert heard.stats is not None
    assert heard.stats.lost == 0


# ---------------------------------------------------------------------- order, loss, doubles


def test_packets_that_overtook_each_other_are_put_in_order() -> None:
    arrivals = stream(20)
    arrivals[6] = (0.145, arrivals[6][1])  # 5 ms behind its successor
    heard = play(JitterBuffer(rate=RATE, initial_ms=60, min_ms=60), arrivals, seconds=0.4)
    assert [numbers(frame.pcm) for frame in heard.frames[3:]] == [[n] for n in range(17)]
    assert heard.stats is not None
    assert (heard.stats.reordered, heard.stats.lost) == (1, 0)


def test_a_packet_that_comes_twice_is_played_once() -> None:
    buffer = JitterBuffer(rate=RATE)
    assert buffer.add(packet(0), 0.0) == "queued"
    assert buffer.add(packet(0), 0.01) == "duplicate"
    assert buffer.stats(0.01).duplicate == 1


def test_a_lost_packet_is_concealed_and_delays_nothing() -> None:
    heard = play(
        JitterBuffer(rate=RATE),
        stream(50, Impairment(loss=LossPattern("." * 20 + "x")), steady()),
        seconds=1.0,
    )
    assert heard.kinds == "ss" + "v" * 20 + "c" + "v" * 27
    assert heard.frames[23].pcm[-200:] == steady()(21).pcm[-200:]
    assert heard.stats is not None
    assert heard.stats.lost == 1
    assert heard.stats.concealed_s == pytest.approx(0.02)


def test_a_burst_of_loss_delays_nothing_either() -> None:
    lost = Impairment(loss=LossPattern("." * 20 + "xxxxxx"))
    heard = play(JitterBuffer(rate=RATE), stream(100, lost, steady()), seconds=2.0)
    assert heard.kinds == "ss" + "v" * 20 + "c" * 6 + "v" * 72
    assert heard.frames[99].pcm == steady()(97).pcm


def test_a_packet_that_comes_too_late_is_dropped_and_counted() -> None:
    arrivals = stream(20)
    arrivals[5] = (arrivals[5][0] + 0.1, arrivals[5][1])
    heard = play(JitterBuffer(rate=RATE, initial_ms=40), arrivals, seconds=0.4)
    assert heard.stats is not None
    assert (heard.stats.late, heard.stats.lost) == (1, 0)
    assert [5] not in [numbers(frame.pcm) for frame in heard.frames]


# ---------------------------------------------------------------------- jitter


def test_a_stall_of_the_network_loses_no_speech_while_it_is_shorter_than_the_limit() -> None:
    make = steady()
    arrivals = [(max(at, 1.2) if 50 <= n < 60 else at, p) for n, (at, p) in enumerate(stream(200, make=make))]
    heard = play(JitterBuffer(rate=RATE, initial_ms=40), arrivals, seconds=4.2)
    assert heard.stats is not None
    assert heard.stats.late == 0
    played = heard.pcm.tobytes()
    assert all(make(n).pcm[-100:] in played for n in range(180))


def test_the_delay_that_a_stall_has_made_is_taken_out_again_in_pauses() -> None:
    pcm = np.tile(read_wav(SPEECH, RATE), 3)
    count = pcm.size // FRAME
    arrivals = [
        (max(at, 1.2) if 50 <= n < 60 else at, p) for n, (at, p) in enumerate(stream(count, make=spoken(pcm)))
    ]
    buffer = JitterBuffer(rate=RATE)
    after = play(buffer, [a for a in arrivals if a[0] <= 1.5], seconds=1.5).stats
    later = play(buffer, [a for a in arrivals if a[0] > 1.5], seconds=10, begin=1.5).stats
    assert after is not None
    assert later is not None
    assert after.delay_s > 0.15
    assert later.delay_s < 0.08
    assert later.shortened_s > 0.1


def test_it_waits_for_as_long_as_nearly_all_packets_need_and_not_much_longer() -> None:
    pcm = np.tile(read_wav(SPEECH, RATE), 8)
    heard = play(
        JitterBuffer(rate=RATE),
        stream(pcm.size // FRAME, Impairment(delay_ms=50, jitter_ms=60, keep_order=False), spoken(pcm)),
        seconds=35,
    )
    assert heard.stats is not None
    assert heard.stats.target_s == pytest.approx(0.064, abs=0.01)
    assert heard.stats.delay_s == pytest.approx(0.075, abs=0.03)
    assert heard.stats.late < 0.03 * heard.stats.received
    assert heard.kinds.count("c") < 0.03 * len(heard.kinds)


def test_on_a_good_network_the_delay_shrinks_to_what_is_needed() -> None:
    pcm = read_wav(SPEECH, RATE)
    buffer = JitterBuffer(rate=RATE, initial_ms=200)
    heard = play(buffer, stream(pcm.size // FRAME, make=spoken(pcm)), seconds=4.2)
    assert heard.stats is not None
    assert heard.stats.delay_s < 0.06
    assert "c" not in heard.kinds


def test_the_jitter_is_that_of_rfc_3550() -> None:
    buffer = JitterBuffer(rate=RATE)
    jitter, before = 0.0, 0.0
    for n in range(50):
        late = 0.007 * (n % 3)
        buffer.add(packet(n), n * 0.02 + late)
        if n:
            jitter += (abs(late - before) - jitter) / 16
        before = late
    assert buffer.stats(1.0).jitter_s == pytest.approx(jitter, rel=1e-6)


def test_five_percent_in_bursts_and_40_ms_of_jitter_leave_most_of_the_speech_whole() -> None:
    pcm = np.tile(read_wav(SPEECH, RATE), 4)
    bad = Impairment(delay_ms=30, jitter_ms=40, loss=GilbertElliott.bursts(loss=0.05, mean_burst=3))
    heard = play(JitterBuffer(rate=RATE), stream(pcm.size // FRAME, bad, spoken(pcm)), seconds=17)
    assert heard.stats is not None
    missing = heard.stats.lost + heard.stats.late
    assert missing / (heard.stats.received + heard.stats.lost) < 0.08
    assert heard.stats.delay_s < 0.12


# ---------------------------------------------------------------------- pauses, ends, other streams


def test_a_pause_in_which_nothing_was_sent_is_no_loss() -> None:
    """Discontinuous transmission: the numbers go on where they stopped, the timestamps with the time."""
    first = [(n * 0.02, packet(n)) for n in range(10)]
    second = [(0.5 + n * 0.02, MediaPacket(10 + n, (25 + n) * FRAME, packet(50 + n).pcm)) for n in range(10)]
    heard = play(JitterBuffer(rate=RATE), first + second, seconds=0.8)
    assert heard.stats is not None
    assert (heard.stats.lost, heard.stats.late) == (0, 0)
    assert [n for n in numbers(heard.pcm.tobytes()) if n >= 50] == list(range(50, 60))


def test_when_nothing_comes_any_more_there_is_silence_and_it_begins_anew_afterwards() -> None:
    buffer = JitterBuffer(rate=RATE, max_ms=200)
    heard = play(buffer, stream(20, make=lambda n: packet(n, value=1)), seconds=2.0)
    assert set(heard.kinds[40:]) == {"s"}
    again = [(2.0 + n * 0.02, packet(n + 100)) for n in range(20)]
    heard = play(buffer, again, seconds=0.4, begin=2.0)
    assert heard.kinds.count("v") == 18


def test_a_flood_is_cut_to_the_newest_and_memory_stays_bounded() -> None:
    buffer = JitterBuffer(rate=RATE, max_ms=200)
    for n in range(2000):
        buffer.add(packet(n), 0.0)
    assert buffer.stats(0.0).dropped == 1990
    assert numbers(buffer.take(0.2).pcm)[0] == 1990


def test_another_stream_in_the_place_of_the_old_one_is_taken_up_with_its_second_packet() -> None:
    buffer = JitterBuffer(rate=RATE)
    play(buffer, stream(50), seconds=1.0)
    other = [
        (1.0 + n * 0.02, MediaPacket(40000 + n, 999_000 + n * FRAME, packet(300 + n).pcm)) for n in range(20)
    ]
    heard = play(buffer, other, seconds=0.4, begin=1.0)
    assert heard.stats is not None
    assert (heard.stats.restarts, heard.stats.dropped, heard.stats.lost) == (1, 1, 0)
    assert [300 + n in numbers(heard.pcm.tobytes()) for n in (1, 5, 15)] == [True] * 3


def test_a_single_stray_packet_changes_nothing() -> None:
    buffer = JitterBuffer(rate=RATE)
    arrivals = [*stream(50), (0.5, MediaPacket(31000, 5, packet(7).pcm))]
    heard = play(buffer, arrivals, seconds=1.0)
    assert heard.kinds == "ss" + "v" * 48


def test_before_the_first_packet_there_is_silence() -> None:
    taken = JitterBuffer(rate=RATE).take(0.0)
    assert taken == Taken(bytes(2 * FRAME), "silence")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="16-bit samples"):
        JitterBuffer(rate=RATE).add(MediaPacket(0, 0, b"\0\0\0"), 0.0)
    with pytest.raises(ValueError, match="16-bit samples"):
        JitterBuffer(rate=RATE).add(MediaPacket(0, 0, b""), 0.0)
    with pytest.raises(ValueError, match="min_ms <= initial_ms"):
        JitterBuffer(rate=RATE, initial_ms=40, min_ms=80)
