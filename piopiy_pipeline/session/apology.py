"""An apology that needs no provider: for the call whose TTS is what fails."""

from __future__ import annotations

import wave
from functools import lru_cache
from importlib.resources import files

from pipecat.frames.frames import OutputAudioRawFrame

__all__ = ["canned_apology"]


@lru_cache(maxsize=1)
def _recording() -> tuple[bytes, int]:
    with (files(__package__) / "apology.wav").open("rb") as file, wave.open(file) as recording:
        return recording.readframes(recording.getnframes()), recording.getframerate()


def canned_apology() -> OutputAudioRawFrame:
    """A recorded "I am sorry, something went wrong", about two seconds, PCM16 mono."""
    pcm, rate = _recording()
    frame = OutputAudioRawFrame(pcm, rate, 1)
    frame.interruptible = False
    return frame
