"""The process of espeak-ng: it takes a clause of text, and returns its audio and the times of its words.

It is a process of its own because espeak-ng's state is global: two threads in it at once crash the process.
espeak-ng speaks a thousand times faster than real time, so a request is a whole clause and takes 10 ms at
most. Nothing is kept between two requests, so a caller that wants to stop just does not ask for the next
clause.

The library: https://github.com/espeak-ng/espeak-ng/blob/master/src/include/espeak-ng/speak_lib.h
Nothing of pipecat is imported here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.services.workers.worker_loop import announce_share, serve

__all__ = ["MAX_TEXT", "EspeakVoice", "Speech", "word_times"]

MAX_TEXT = 2_000
"""Characters in one request."""
MAX_SAMPLES = 22_050 * 600
"""Audio of one request: ten minutes; espeak-ng is told to stop there."""

Speech = tuple[bytes, list[tuple[str, float]]]
"""PCM16 mono at the wanted rate, and the words with the seconds at which they begin."""

_SYNCHRONOUS = 2
_UTF8 = 1
_CHARACTERS = 1
_RATE, _PITCH = 1, 3
_LIST_END, _WORD = 0, 1


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # in ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Events = ctypes.POINTER(_Event)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, _Events)


class EspeakVoice:
    """The espeak-ng library, of which a process can have only one.

    Raises:
        RuntimeError: It does not start.
    """

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._made_at = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self._made_at <= 0:
            raise RuntimeError(f"espeak-ng does not start: its data is not in {data.decode()}")
        self._callback = _Callback(self._take)  # kept: the library has only its address
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voice = ""
        self._audio: list[NDArray[np.int16]] = []
        self._samples = 0
        self._marks: list[tuple[int, int]] = []

    def load(self) -> None:
        """Do nothing: all is loaded when the process can be asked."""

    def speak(self, text: str, voice: str, words_per_minute: int, pitch: int, rate: int) -> Speech:
        """Speak a text. Blocks while it computes.

        Args:
            text: What to say, at most `MAX_TEXT` characters.
            voice: The name of an espeak-ng voice.
            words_per_minute: How fast it speaks, 80 to 450.
            pitch: How high it speaks, 0 to 99.
            rate: The sample rate of the result in Hz.

        Returns:
            The audio as PCM16 mono, and each word with the second at which it begins.

        Raises:
            ValueError: The text is too long, or there is no such voice.
            RuntimeError: espeak-ng failed.
        """
        if len(text) > MAX_TEXT:
            raise ValueError(f"{len(text)} characters at once; at most {MAX_TEXT} are taken")
        announce_share(len(text) / MAX_TEXT)
        if voice != self._voice:
            if self._lib.espeak_SetVoiceByName(voice.encode()):
                raise ValueError(f"espeak-ng has no voice {voice!r}; one of its voices is 'en-us'")
            self._voice = voice
        self._lib.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._lib.espeak_SetParameter(_PITCH, pitch, 0)
        self._audio, self._samples, self._marks = [], 0, []
        spoken = text.replace("\0", " ").encode()
        failed = self._lib.espeak_Synth(spoken, len(spoken) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        if failed:
            raise RuntimeError(f"espeak-ng failed with {failed} on {text!r}")
        audio = np.concatenate([np.zeros(0, np.int16), *self._audio])
        words = word_times(text, [(at, sample / self._made_at) for at, sample in self._marks])
        if rate != self._made_at:
            audio = soxr.resample(audio, self._made_at, rate).astype(np.int16)
        return audio.tobytes(), words

    def _take(
        self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        number = 0
        while events[number].type != _LIST_END:
            if events[number].type == _WORD:
                self._marks.append((events[number].text_position - 1, events[number].sample))
            number += 1
        if wave and count > 0:
            self._audio.append(np.ctypeslib.as_array(wave, (count,)).copy())
            self._samples += count
        return int(self._samples > MAX_SAMPLES)


def word_times(text: str, marks: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
    """Find the time of each word of a text, as it is written, with its punctuation.

    espeak-ng reports two marks for "7:30" and none for a dash. A word without a mark gets the time of the
    word before it, and the times never decrease.

    Args:
        text: The text that was spoken.
        marks: espeak-ng's marks: the position of a character in the text, and its time in seconds.

    Returns:
        Each word with the second at which it begins.
    """
    words: list[tuple[str, float]] = []
    waiting = sorted(marks)
    at, end, latest = 0, 0, 0.0
    for word in text.split():
        at = text.index(word, end)
        end = at + len(word)
        inside = [second for position, second in waiting if at <= position < end]
        latest = max(latest, min(inside, default=latest))
        words.append((word, latest))
    return words


def main() -> None:
    """Answer requests until the parent process has gone."""
    voice = EspeakVoice()
    serve({"load": voice.load, "speak": voice.speak})


if __name__ == "__main__":
    main()
