"""The frame in which a call's audio is played, sent and counted: 20 ms, as in RFC 3551 (4.2)."""

from __future__ import annotations

__all__ = ["FRAME_MS", "FRAME_S", "frame_bytes", "frame_samples"]

FRAME_MS = 20
FRAME_S = FRAME_MS / 1000


def frame_samples(rate: int) -> int:
    """Return how many samples a frame of 20 ms has at `rate` Hz."""
    return rate * FRAME_MS // 1000


def frame_bytes(rate: int) -> int:
    """Return how many bytes a frame of 20 ms of PCM16 mono has at `rate` Hz."""
    return 2 * frame_samples(rate)
