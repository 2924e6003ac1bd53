"""Sound in pieces: one frame may have an hour of it, and whatever works on a frame keeps the event loop meanwhile.

So the guards pass long sound on in pieces, and no stage, watch, resampler or capture is given more than one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

from pipecat.frames.frames import AudioRawFrame, Frame
from pipecat.utils.utils import obj_id

__all__ = ["PIECE_BYTES", "PIECE_S", "piece_bytes", "pieces_of"]

PIECE_S = 1.0
"""No piece is longer, in seconds. A millisecond of a core's time goes into one, whoever works on it."""
PIECE_BYTES = 192_000
"""Nor has it more bytes, whatever its frame says of its sample rate: 1 s of stereo at 48 kHz."""

_Sound = TypeVar("_Sound", bound=AudioRawFrame)


def piece_bytes(frame: AudioRawFrame) -> int:
    """Return how many bytes of this frame's sound the longest piece has: whole samples of all channels."""
    sample = 2 * max(1, frame.num_channels)
    longest = min(int(PIECE_S * frame.sample_rate) * sample, PIECE_BYTES)
    return max(sample, longest - longest % sample)


def pieces_of(frame: _Sound, most_bytes: int | None = None) -> Iterator[_Sound]:
    """Yield a frame's sound in frames of its kind, none of them longer than a piece: the frame itself, if it is short.

    Args:
        frame: PCM16 with the sample rate in Hz and the number of channels.
        most_bytes: The sound behind so many bytes is left out.
    """
    audio = frame.audio
    end = len(audio) if most_bytes is None else min(most_bytes, len(audio))
    size = piece_bytes(frame)
    if end == len(audio) <= size:
        yield frame
        return
    for at in range(0, end, size):
        piece = copy.copy(frame)
        piece.audio = audio[at : min(at + size, end)]
        piece.num_frames = len(piece.audio) // (2 * max(1, frame.num_channels))
        if isinstance(piece, Frame):
            piece.id = obj_id()
        yield piece
