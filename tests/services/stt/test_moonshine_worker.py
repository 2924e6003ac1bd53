"""What the process that hears is asked may be a sound of any length."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.services.stt.moonshine_worker import hear
from tests.support.calls import AUDIO

YES = AUDIO / "booking/03-yes.wav"


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("length_s", [0.0, 0.044, 0.064])
def test_a_sound_that_is_shorter_than_a_word_is_heard_without_an_error(length_s: float, rate: int) -> None:
    """The pre-roll of a cough may begin with the end of the last word. An error would be an apology to the caller."""
    speech = read_wav(YES, rate)
    bounds = speech_bounds(speech, rate)
    assert bounds is not None
    sound = speech[bounds.start : bounds.start + round(length_s * rate)]
    for pause_s in (0.0, 0.05, 1.0):
        pcm = np.concatenate([sound, np.zeros(round(pause_s * rate), np.int16)]).tobytes()
        for lead, said in ((b"", ()), (speech[: rate // 2].tobytes(), (1, 2))):
            assert all(isinstance(word, str) for word, _ in hear(pcm, rate, "en", lead, said).words)


def test_a_word_is_heard_as_before() -> None:
    pcm = read_wav(YES, 16_000).tobytes()
    assert [word.strip(".,").lower() for word, _ in hear(pcm, 16_000, "en").words] == ["yes", "please"]
