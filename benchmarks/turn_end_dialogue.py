"""Natural turns for `benchmarks/turn_end.py`: the dialogues of an adventure game, spoken by actors, with own pauses.

*Flight of the Amazon Queen* (1995) may be given away with its readme, and is a Debian package, which is fetched and
checked. Its 6,745 lines are MP3 files of 11 kHz in one file, whose table is described in ScummVM's
`engines/queen/resource.cpp`. A line's name begins with its dialogue, and another dialogue has other speakers: what the
main character says is for tuning, and so is every second dialogue. The others are fresh.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soxr

from benchmarks.hearing_callers import RATE, fetch_package, level, trim
from benchmarks.turn_end_signals import Pcm

__all__ = ["dialogue_lines"]

PACKAGE = "flight-of-the-amazon-queen"
DIGEST = "40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1"
ENTRY = struct.Struct(">12sBII")
ENTRIES_AT = 13
SHORTEST_BYTES = 5_000
"""2.5 s: shorter lines have no pause."""
MAIN_CHARACTER = re.compile(r"JO|.{2,6}?J\d")


def dialogue_lines(cache: Path) -> Iterator[tuple[str, bool, Pcm]]:
    """Return the longer lines of the game.

    Args:
        cache: The folder for the package.

    Returns:
        Of each line its name, whether it is fresh, and what is said: int16 of shape ``[n]`` at 16 kHz.

    Raises:
        OSError: The package could not be fetched, or is not the one whose hash stands here.
    """
    folder = cache / "human" / PACKAGE
    if not (folder / "usr").exists():
        fetch_package(PACKAGE, DIGEST, folder)
    data = next(folder.rglob("queen.1c")).read_bytes()
    (count,) = struct.unpack_from(">H", data, ENTRIES_AT)
    for at in range(count):
        name, _, begins, size = ENTRY.unpack_from(data, ENTRIES_AT + 2 + at * ENTRY.size)
        line = name.rstrip(b"\0 ").decode("ascii")
        if line.endswith(".SB") and size >= SHORTEST_BYTES:
            stem = line.removesuffix(".SB")
            yield stem, _is_fresh(stem), level(trim(_decode(data[begins : begins + size])))


def _is_fresh(line: str) -> bool:
    return MAIN_CHARACTER.match(line) is None and hashlib.sha256(line[:2].encode()).digest()[0] % 2 == 1


def _decode(mp3: bytes) -> Pcm:
    with av.open(io.BytesIO(mp3), "r", format="mp3") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate(frames)
    if samples.dtype != np.int16:
        samples = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return np.asarray(soxr.resample(samples, rate, RATE), np.int16)
