"""Keeps windows from the VAD's model that are no speech whatever it says: those of a line on which nobody speaks.

A window below `FLOOR_DBFS` never counts as voiced (`vad_segments`), so while nobody speaks the model is asked in vain,
and for a call alone it costs more than all else. But its state has to be that of a model which has heard the line.
So the last windows are kept. When a louder one comes, the model hears them first, from a fresh state on; if
none was dropped since it was asked last, it goes on where it was, as if there were no gate.

What the model makes of the louder window is not the same to the bit then. `benchmarks/vad_gate.py` compares what
becomes of it: one start in ten is a window earlier or later; at 16 kHz no turn of 233 ends at another time, at 8 kHz
four of 240 do. That is no more than if pipecat cleared the model's state after 1.3 or 2.4 seconds instead of two.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from piopiy_pipeline.processors.vad_segments import FLOOR_POWER

__all__ = ["WARM_WINDOWS", "EnergyGate", "powers_of"]

WARM_WINDOWS = 12
"""With 8 windows one turn in 230 ends at another time, and more than 12 change nothing further."""


class EnergyGate:
    """The gate of one stream."""

    __slots__ = ("_kept", "_skipped")

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque(maxlen=WARM_WINDOWS)
        self._skipped = False

    def keeps(self, window: bytes, power: float, *, quiet: bool) -> bool:
        """Return whether the model need not hear a window, which is then kept.

        Args:
            window: Its PCM16.
            power: Its mean power, 1.0 at full scale.
            quiet: Whether there is neither speech nor the beginning of it.
        """
        if not quiet or power >= FLOOR_POWER:
            return False
        if len(self._kept) == WARM_WINDOWS:
            self._skipped = True
        self._kept.append(window)
        return True

    @property
    def holds(self) -> bool:
        """Whether it has kept windows that the model has not heard."""
        return bool(self._kept)

    def open(self) -> tuple[list[bytes], bool]:
        """Return the windows that the model has to hear first, and whether from a fresh state on. Forgets them."""
        if not self._kept:
            return [], False
        kept, skipped = list(self._kept), self._skipped
        self._kept.clear()
        self._skipped = False
        return kept, skipped


def powers_of(windows: list[bytes]) -> list[float]:
    """Return the mean powers of windows of PCM16 that are equally long, 1.0 at full scale."""
    size = len(windows[0]) // 2
    signal = np.frombuffer(windows[0] if len(windows) == 1 else b"".join(windows), dtype="<i2").astype(
        np.float32
    )
    scale = 1 / (size * 32768.0 * 32768.0)
    starts = range(0, len(signal), size)  # each by itself: a power must not depend on what else is measured
    return [float(np.dot(part := signal[at : at + size], part)) * scale for at in starts]
