"""A telephone on a table, as a gateway hears it: the bot's voice comes back through loudspeaker, room and network.

The room is simulated, or a recording of a real one's impulse response. The same seed makes the same samples. The
loudspeaker is small and driven too hard (no bass, soft clipping, even harmonics), the room rings, the way there and
back has a delay, and at 8 kHz both directions are coded as G.711.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import FRAME_S, frame_samples
from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.sound_cleaner import SoundCleaner

__all__ = ["Pcm", "Speakerphone", "on_line", "room_response", "through_cleaner"]

Pcm = NDArray[np.int16]


def on_line(sound: NDArray[np.float64] | Pcm, rate: int) -> Pcm:
    """Return a sound as int16, as a line of this rate in Hz carries it: G.711 at 8 kHz, and as it is at 16."""
    pcm = np.clip(np.round(sound), -32768, 32767).astype(np.int16)
    return ulaw_decode(ulaw_encode(pcm)) if rate == 8_000 else pcm


def through_cleaner(cleaner: SoundCleaner, heard: Pcm, played: Pcm | None = None) -> Pcm:
    """Return what is left of a caller's audio, frame tick by frame tick, as the media path has it cleaned.

    Args:
        cleaner: A fresh one.
        heard: What arrived, int16 of shape ``[n]``.
        played: What was sent meanwhile, int16 of shape ``[n]``; None for silence.
    """
    frame, parts = frame_samples(cleaner.rate), []
    for number, at in enumerate(range(0, len(heard) - frame + 1, frame)):
        if played is not None:
            cleaner.played(played[at : at + frame].tobytes())
        cleaner.played_until(number * FRAME_S)
        parts.append(cleaner.clean(heard[at : at + frame].tobytes()))
    return np.frombuffer(b"".join(parts), np.int16)


@dataclass(frozen=True, slots=True)
class Speakerphone:
    """A speakerphone in a room, behind a network.

    Args:
        rate: The sample rate of the line in Hz.
        delay_ms: From a sound that leaves the gateway to the first of its echo that arrives there.
        echo_db: How loud the echo is, against what was played.
        rt60_s: How long the room rings, to -60 dB.
        drive: How hard the loudspeaker is driven: 1.0 clips softly at half of full scale.
        noise_dbfs: The noise of the room.
        seed: Decides on the room and the noise.
        response: The impulse response of a real room at `rate`, of shape ``[n]``, in the place of a simulated one; see
            `room_response`.
    """

    rate: int
    delay_ms: float
    echo_db: float = -6.0
    rt60_s: float = 0.3
    drive: float = 1.0
    noise_dbfs: float = -65.0
    seed: int = 0
    response: NDArray[np.float64] | None = None

    def heard(self, played: Pcm, caller: Pcm | None = None) -> Pcm:
        """Return what arrives at the gateway.

        Args:
            played: What it sent, int16 of shape ``[n]``.
            caller: What the person at the telephone says, int16 of shape ``[n]``, on the same clock.

        Returns:
            int16 of shape ``[n]``.
        """
        rng = np.random.default_rng([self.seed, 77])
        sound = self.echo(played) + rng.normal(0, 32768 * 10 ** (self.noise_dbfs / 20), len(played))
        if caller is not None:
            sound += caller
        return on_line(sound, self.rate)

    def echo(self, played: Pcm) -> NDArray[np.float64]:
        """Return the echo alone, of shape ``[n]`` on the scale of int16."""
        sound = on_line(played, self.rate) / 32768
        sound -= np.convolve(sound, np.full(self.rate // 600, 600 / self.rate), "same")  # a cone without bass
        loud = np.tanh(2 * self.drive * sound) / (2 * self.drive)
        loud += 0.2 * self.drive * loud**2
        return 32768 * self._room(loud) * 10 ** (self.echo_db / 20)

    def _room(self, sound: NDArray[np.float64]) -> NDArray[np.float64]:
        response = self._simulated() if self.response is None else self.response
        size = len(sound) + len(response)
        ringing = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)
        delay = int(self.rate * self.delay_ms / 1000)
        return np.concatenate([np.zeros(delay), ringing])[: len(sound)]

    def _simulated(self) -> NDArray[np.float64]:
        rng = np.random.default_rng([self.seed, 13])
        t = np.arange(int(self.rate * self.rt60_s)) / self.rate
        tail = rng.normal(0, 1, len(t)) * 10 ** (-3 * t / self.rt60_s)
        tail[: self.rate // 500] = 0  # the first wall is 0.3 m behind
        response: NDArray[np.float64] = tail / np.sqrt((tail**2).sum()) * 0.6
        response[0] = 0.8
        return response


def room_response(path: Path, rate: int) -> NDArray[np.float64]:
    """Read the recorded impulse response of a room: from its loudest sample on, with an energy of 1.

    Args:
        path: A WAV file; of several channels, the first.
        rate: The sample rate of the result in Hz.
    """
    samples, recorded = soundfile.read(path, dtype="float64", always_2d=True)
    response = np.asarray(soxr.resample(samples[:, 0], recorded, rate), np.float64)
    response = response[int(np.abs(response).argmax()) :]
    return np.asarray(response / np.sqrt((response**2).sum()), np.float64)
