"""A TTS for tests: it speaks recordings or tones, with the time of each word, as a `TTSService` of pipecat's."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    LLMFullResponseStartFrame,
    StartFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.arguments import check_kind, shown
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.compat.pipecat import constructor_options, makes_text_frames, share_text_rules
from piopiy_pipeline.offload import offload
from piopiy_pipeline.testing.scripted.faults import Fault, FaultPlan, Garbage, Stalls, TimesOut
from piopiy_pipeline.testing.scripted.latency_profiles import Latency, as_profile
from piopiy_pipeline.testing.scripted.stand_in import StandIn

__all__ = ["ScriptedTTS", "SoundedText", "Voice"]

CHUNK_S = 0.2
"""Audio in one frame."""


@dataclass(frozen=True, slots=True)
class SoundedText:
    """A text as it is spoken.

    Attributes:
        pcm: int16 of shape ``[samples]``.
        words: Each word with the second in which it begins.
    """

    pcm: NDArray[np.int16]
    words: list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How the bot's words sound. A value: it serves any number of calls.

    Attributes:
        recordings: WAV files by the sentence that they speak; case and punctuation do not matter. Other sentences
            are tones, one for each word.
        seconds_per_character: How long a tone is for each letter and blank.
        words: Whether the time of each word is begun, as some providers do. None: as the replaced service does.
        latency: Seconds to the first audio of a sentence.
        speed: The rest comes so many times faster than it is spoken; None: at once.
        faults: What goes wrong, by the number of the turn; they meet its first sentences. Turn 0 is the greeting.

    Raises:
        TypeError: Something is no latency or no fault.
        ValueError: A value is out of range.
        WavError: A recording cannot be read.
    """

    recordings: Mapping[str, Path | str] = field(default_factory=dict)
    seconds_per_character: float = 0.06
    words: bool | None = None
    latency: Latency = 0.0
    speed: float | None = None
    faults: Mapping[int, Fault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kind("Voice: recordings", self.recordings, Mapping, "a mapping of sentences to WAV files")
        check_kind(
            "Voice: seconds_per_character", self.seconds_per_character, (int, float), "a number of seconds"
        )
        check_kind("Voice: speed", self.speed, (int, float, type(None)), "a number, or None")
        for path in self.recordings.values():
            read_wav(
                path, 8000
            )  # the rate of the call is not known yet; a mistake in the file is reported now
        as_profile(self.latency)
        FaultPlan(self.faults)
        if not 0.005 <= self.seconds_per_character <= 1:
            raise ValueError(
                f"Voice: seconds_per_character must be 0.005 to 1, not {shown(self.seconds_per_character)}"
            )
        if self.speed is not None and not self.speed > 0:
            raise ValueError(f"Voice: speed must be more than 0, not {shown(self.speed)}")

    def speak(self, text: str, rate: int) -> SoundedText:
        """Return how a text sounds at a sample rate in Hz. It reads a recording's file."""
        path = next((path for said, path in self.recordings.items() if _key(said) == _key(text)), None)
        recording = None if path is None else read_wav(path, rate)
        return _spoken(text, rate, recording, self.seconds_per_character)


class ScriptedTTS(StandIn, TTSService):
    """A TTS for tests. It speaks whole sentences, even if the original would take single tokens.

    Args:
        script: How it sounds.
        random: Decides on the latencies.
        plan: The faults; by default those of the script.
        original: The service that this one stands for. Its sample rate and its text rules hold here, too.
    """

    def __init__(
        self,
        script: Voice | None = None,
        *,
        random: Random | None = None,
        plan: FaultPlan | None = None,
        original: TTSService | None = None,
    ) -> None:
        self._script = script = script or Voice()
        words = script.words
        if words is None:
            words = original is None or not makes_text_frames(original)
        options: dict[str, Any] = {"settings": TTSSettings(model=None, voice=None, language=None)}
        if original is not None:
            options = constructor_options(original)
        super().__init__(push_start_frame=True, push_stop_frames=True, push_text_frames=not words, **options)
        if original is not None:
            self.stand_for(original)
            share_text_rules(self, original)
        self._tells_words = words
        self._plan = plan or FaultPlan(script.faults)
        self._random = random or Random(0)
        self._latency = as_profile(script.latency).sampler(self._random)
        self._recordings: dict[str, NDArray[np.int16]] = {}
        self._asked = False  # the caller has spoken since the last answer began
        self._spoken_s: dict[str, float] = {}  # audio so far, by context: its word times go on from there

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time to its first audio."""
        return True

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        for text, path in self._script.recordings.items():
            self._recordings[_key(text)] = await offload(read_wav, path, self.sample_rate)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Count the turns; the base class does the rest."""
        if isinstance(frame, UserStartedSpeakingFrame):
            self._asked = True
        elif isinstance(frame, LLMFullResponseStartFrame) and self._asked:
            self._asked = False
            self._plan.turn += 1
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak `text`: yield audio frames, and tell each word before the audio in which it begins."""
        fault = self._plan.next()
        latency = self._latency(self._plan.turn)
        delay = fault.delay_s if fault is not None else 0.0
        await _sleep(delay if isinstance(fault, TimesOut) else latency + delay)
        await self.start_tts_usage_metrics(text)
        rate = self.sample_rate
        spoken = _spoken(text, rate, self._recordings.get(_key(text)), self._script.seconds_per_character)
        pcm, words = spoken.pcm, spoken.words
        size = len(pcm)
        if isinstance(fault, Garbage):
            pcm = self._noise(size)
        elif fault is not None:
            size = round(fault.share * size)
        start = self._spoken_s.get(context_id, 0.0)
        self._spoken_s[context_id] = start + size / rate
        step = int(CHUNK_S * rate)
        for at in range(0, size, step):
            if at and self._script.speed is not None:
                await _sleep(CHUNK_S / self._script.speed)
            end = min(at + step, size)
            begun = [(word, start + second) for word, second in words if second * rate < end]
            words = words[len(begun) :]
            if begun and self._tells_words:
                await self.add_word_timestamps(begun, context_id)
            yield TTSAudioRawFrame(pcm[at:end].tobytes(), rate, 1, context_id=context_id)
        if isinstance(fault, Stalls):
            await asyncio.Event().wait()  # until an interruption or the end cancels this
        if fault is not None and fault.error is not None and not isinstance(fault, Garbage):
            yield ErrorFrame(error=f"scripted TTS: {fault.error}", exception=fault.error)

    def _noise(self, size: int) -> NDArray[np.int16]:
        generator = np.random.default_rng(self._random.getrandbits(32))
        return generator.integers(-8000, 8000, size, dtype=np.int16)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        self._spoken_s.pop(context_id, None)
        await super().on_audio_context_completed(context_id)


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _spoken(
    text: str, rate: int, recording: NDArray[np.int16] | None, seconds_per_character: float
) -> SoundedText:
    if recording is None:
        pcm = _tones(text.strip(), rate, seconds_per_character)
        return SoundedText(pcm, _word_times(text, seconds_per_character))
    letters = sum(len(word) + 1 for word in text.split()) or 1
    return SoundedText(recording, _word_times(text, len(recording) / rate / letters))


def _key(text: str) -> str:
    kept = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    return " ".join(kept.split())


def _word_times(text: str, seconds_per_character: float) -> list[tuple[str, float]]:
    times, at = [], 0
    for word in text.split():
        times.append((word, at * seconds_per_character))
        at += len(word) + 1
    return times


@lru_cache(maxsize=512)
def _tones(text: str, rate: int, seconds_per_character: float) -> NDArray[np.int16]:
    """Return a tone for each word, with a pitch by its letters and a pause after it: int16 of shape ``[samples]``."""
    words = text.split()
    letters = sum(len(word) + 1 for word in words)
    pcm = np.zeros(round(letters * seconds_per_character * rate), np.int16)
    at = 0
    for word in words:
        start = round(at * seconds_per_character * rate)
        count = round(len(word) * seconds_per_character * rate)
        pitch = 180 + zlib.crc32(word.casefold().encode()) % 120
        tone = 7000 * np.sin(np.arange(count) * (2 * np.pi * pitch / rate))
        edge = min(count // 2, rate // 100)
        fade = np.linspace(0.0, 1.0, edge)
        tone[:edge] *= fade
        tone[count - edge :] *= fade[::-1]
        pcm[start : start + count] = tone[: len(pcm) - start].astype(np.int16)
        at += len(word) + 1
    pcm.flags.writeable = False
    return pcm
