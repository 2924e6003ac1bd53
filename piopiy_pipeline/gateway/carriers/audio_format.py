"""The audio formats of carriers: µ-law, A-law and 16-bit samples, from and to the PCM16 of a leg. No I/O.

The formats have no state: each message is decoded on its own, so a lost one affects no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from piopiy_pipeline.audio import g711

__all__ = ["L16_8K", "PCMA", "PCMU", "AudioFormat", "l16"]

Coding = Literal["PCMU", "PCMA", "L16", "L16BE"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A coding at `rate` Hz, mono. ``L16`` is little-endian, ``L16BE`` in network order (RFC 3551, 4.5.11)."""

    coding: Coding
    rate: int

    def decode(self, payload: bytes) -> bytes:
        """Decode to PCM16 little-endian. Half a sample at the end is dropped."""
        match self.coding:
            case "PCMU":
                return g711.ulaw_decode(np.frombuffer(payload, np.uint8)).astype("<i2").tobytes()
            case "PCMA":
                return g711.alaw_decode(np.frombuffer(payload, np.uint8)).astype("<i2").tobytes()
            case "L16":
                return payload[: len(payload) & ~1]
            case "L16BE":
                return np.frombuffer(payload[: len(payload) & ~1], ">i2").astype("<i2").tobytes()

    def encode(self, pcm: bytes) -> bytes:
        """Encode PCM16 little-endian of whole samples."""
        match self.coding:
            case "PCMU":
                return g711.ulaw_encode(np.frombuffer(pcm, "<i2").astype(np.int16)).tobytes()
            case "PCMA":
                return g711.alaw_encode(np.frombuffer(pcm, "<i2").astype(np.int16)).tobytes()
            case "L16":
                return pcm
            case "L16BE":
                return np.frombuffer(pcm, "<i2").astype(">i2").tobytes()


PCMU = AudioFormat("PCMU", 8000)
PCMA = AudioFormat("PCMA", 8000)
L16_8K = AudioFormat("L16", 8000)


def l16(rate: int) -> AudioFormat:
    """Little-endian 16-bit samples at `rate` Hz."""
    return AudioFormat("L16", rate)
