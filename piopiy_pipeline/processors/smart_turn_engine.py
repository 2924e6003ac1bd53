"""One smart-turn model for all calls of a process: does what a caller said sound finished?

It is asked once at each silence, where an author wants it (`TurnWaits(smart_turn=True)`). A session for each call would
take 48 MB, so there is one, behind one lane. Requests are not gathered into batches as those of the VAD are: eight
opinions in a batch cost as much CPU time as eight alone, and each would wait for the last.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import soxr

from piopiy_pipeline.compat.smart_turn_model import MODEL_RATE, MODEL_S, model_file, smart_turn_features
from piopiy_pipeline.offload import Lane

__all__ = ["RecentAudio", "SmartTurnEngine", "shared_smart_turn"]

MOST_WAITING = 32
"""An opinion takes 50 ms, so one behind more of them would come when the turn is over."""


class RecentAudio:
    """Keeps the last eight seconds of a caller.

    Args:
        most_bytes: How much it keeps; the default is enough for PCM16 at 16 kHz.
    """

    def __init__(self, most_bytes: int = MODEL_S * MODEL_RATE * 2) -> None:
        self._most_bytes = most_bytes
        self._pcm = bytearray()

    def add(self, pcm: bytes) -> None:
        """Take samples: PCM16 mono."""
        self._pcm += pcm
        if len(self._pcm) > 2 * self._most_bytes:  # seldom, because it moves what is kept
            del self._pcm[: -self._most_bytes]

    def last(self) -> bytes:
        """Return what is kept, the newest last."""
        return bytes(self._pcm[-self._most_bytes :])


class SmartTurnEngine:
    """Gives opinions, one after the other, in a thread of its own. The model is loaded with the first one.

    Args:
        path: The path of the ONNX file; the default is the one in pipecat's package.

    Raises:
        CompatError: There is no such file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or model_file()
        self._session: onnxruntime.InferenceSession | None = None
        self._lane = Lane("smart-turn", threads=1, limit=MOST_WAITING)

    def judge(self, pcm: bytes, rate: int) -> asyncio.Future[float]:
        """Ask whether this sounds like the end of a turn.

        Args:
            pcm: PCM16 mono that ends just behind what the caller said; of more than 8 s the last count.
            rate: Its sample rate in Hz.

        Returns:
            A future of the running loop: the probability that the turn is over, 0 to 1.

        Raises:
            BlockingIOError: More requests wait than can be answered in time.
        """
        return self._lane.submit(self._judge, pcm[-MODEL_S * rate * 2 :], rate)

    def close(self) -> None:
        """End the thread. Requests that wait are cancelled."""
        self._lane.close()

    def _judge(self, pcm: bytes, rate: int) -> float:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        if rate != MODEL_RATE:
            samples = soxr.resample(samples, rate, MODEL_RATE)
        heard = np.zeros(MODEL_S * MODEL_RATE, np.float32)
        samples = samples[-len(heard) :]
        heard[len(heard) - len(samples) :] = samples
        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.inter_op_num_threads = options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                str(self._path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        (answer,) = self._session.run(None, {"input_features": smart_turn_features(heard)[None]})
        return float(answer[0][0])


_shared: SmartTurnEngine | None = None
_sharing = threading.Lock()


def shared_smart_turn() -> SmartTurnEngine:
    """Return the process's engine, which is made at the first call.

    Raises:
        CompatError: Pipecat's package has no model.
    """
    global _shared
    with _sharing:
        if _shared is None:
            _shared = SmartTurnEngine()
        return _shared
