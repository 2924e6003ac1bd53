"""What is kept of the caller's audio, and when its words are asked for."""

import numpy as np
import pytest

from piopiy_pipeline.services.stt.speech_buffer import SpeechBuffer

RATE = 8_000


def _speech(seconds: float, level: int = 1_000) -> bytes:
    return np.full(int(seconds * RATE), level, "<i2").tobytes()


def _seconds(pcm: bytes) -> float:
    return len(pcm) / (2 * RATE)


def test_an_utterance_has_a_little_from_before_and_nothing_of_the_one_before() -> None:
    buffer = SpeechBuffer(RATE)
    buffer.add(_speech(5.0))
    buffer.begin()
    buffer.add(_speech(1.0))
    assert _seconds(buffer.end()) == 1.6
    buffer.begin()
    assert buffer.end() == b""


@pytest.mark.parametrize("late", [0, 1, 3])
def test_what_is_heard_does_not_depend_on_when_the_frames_of_the_vad_come(late: int) -> None:
    """The VAD was sure of speech after 3 s, and of a pause after 4 s."""
    audio = np.arange(int(5.0 * RATE), dtype="<i2").tobytes()
    frames = [audio[at : at + 320] for at in range(0, len(audio), 320)]  # of 20 ms
    buffer = SpeechBuffer(RATE)
    for number, frame in enumerate(frames):
        buffer.add(frame)
        if number == 149 + late:
            buffer.begin()
        if number == 199 + late:
            buffer.paused(1.0 + late / 50, late / 50)
        if number == 209 + late:
            break
    said = buffer.until_pause
    assert said == buffer.end(at_pause=True) == audio[int(2.4 * RATE) * 2 : int(4.04 * RATE) * 2]


def test_samples_before_a_pause_may_come_after_its_frame() -> None:
    buffer = SpeechBuffer(RATE)
    buffer.begin()
    buffer.add(_speech(1.0))
    buffer.paused(0.5, -0.02)
    assert buffer.until_pause is None
    buffer.add(_speech(0.08))
    assert buffer.until_pause is not None
    assert _seconds(buffer.until_pause) == pytest.approx(1.06)


def test_partial_results_become_rarer_as_the_utterance_grows() -> None:
    buffer = SpeechBuffer(RATE)
    buffer.begin()
    asked = []
    for step in range(1, 1_001):
        buffer.add(_speech(0.02))
        if buffer.partial_due():
            asked.append(step / 50)
    waits = np.diff(asked)
    assert min(waits) >= 0.5
    assert waits[-1] > 3.0
    heard_again = sum(asked)
    assert heard_again <= 5 * 20.0, "seconds that are heard, for an utterance of 20 s"


def test_an_utterance_that_is_too_long_is_cut_where_it_is_quiet() -> None:
    buffer = SpeechBuffer(RATE)
    buffer.begin()
    buffer.add(_speech(20.0) + _speech(0.4, 1) + _speech(5.0))
    assert buffer.cut() is None
    buffer.add(_speech(1.0))
    head = buffer.cut()
    assert head is not None
    assert 20.0 < _seconds(head) < 20.4
    assert buffer.seconds == pytest.approx(26.4)
    assert _seconds(head + buffer.end()) == pytest.approx(26.4), "nothing is lost"
