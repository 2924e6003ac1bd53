"""The Silero VAD model as an ONNX file: it finds the file, and scores a batch of windows.

One model serves all calls of a process, because each further one costs megabytes and tens of
milliseconds. So nothing of a call is kept here: its recurrent state and the samples that are prepended to
its next window are passed in and returned. The `silero-vad` package is looked up but never imported:
importing it requires torch.

The layout of the inputs follows pipecat's `SileroOnnxModel` (`pipecat/audio/vad/silero.py`), and
the probabilities are the same to the bit, at any batch size.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from loguru import logger

from piopiy_pipeline.processors.silero_graph import HIDDEN, chain_of

__all__ = [
    "SAMPLE_RATES",
    "ModelMissing",
    "SileroModel",
    "WindowShape",
    "find_model",
    "load_model",
    "window_shape",
]

FloatArray = npt.NDArray[np.float32]

MODEL_FILE = "silero_vad.onnx"
_FULL_SCALE = np.float32(2**-15)
_MANY = 16  # windows of a batch whose time is measured
_PLACES = (("silero_vad", Path("data")), ("pipecat", Path("audio/vad/data")))


class ModelMissing(RuntimeError):
    """No package that is installed here contains the Silero model."""


@dataclass(frozen=True, slots=True)
class WindowShape:
    """The length of audio that one score is about, at one sample rate. Both rates have windows of 32 ms."""

    sample_rate: int
    """The sample rate in Hz."""
    samples: int
    """New samples of a window."""
    context: int
    """Samples of the window before, which the model expects in front of the new ones."""

    @property
    def seconds(self) -> float:
        """The length of a window in seconds."""
        return self.samples / self.sample_rate

    @property
    def window_bytes(self) -> int:
        """Bytes of PCM16 in a window."""
        return self.samples * 2

    @property
    def context_bytes(self) -> int:
        """Bytes of PCM16 in the context."""
        return self.context * 2


_SHAPES = {16000: WindowShape(16000, 512, 64), 8000: WindowShape(8000, 256, 32)}
SAMPLE_RATES = tuple(sorted(_SHAPES))


def window_shape(sample_rate: int) -> WindowShape:
    """Return the window of a sample rate in Hz.

    Raises:
        ValueError: The model was not trained on this rate.
    """
    shape = _SHAPES.get(sample_rate)
    if shape is None:
        raise ValueError(
            f"voice activity detection works at 8000 or 16000 Hz, not at {sample_rate} Hz: "
            "set audio_in_sample_rate to one of them, or resample before the VAD stage"
        )
    return shape


def find_model() -> Path:
    """Return the path of the model in an installed `silero-vad`, or else of the same file inside pipecat-ai.

    Neither package is imported.

    Raises:
        ModelMissing: Neither package contains the model.
    """
    looked: list[str] = []
    for package, folder in _PLACES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(place) / folder / MODEL_FILE
            if path.is_file():
                return path
            looked.append(str(path))
    raise ModelMissing(
        f"the Silero VAD model {MODEL_FILE} was not found (looked at: {', '.join(looked) or 'no package'}). "
        "It comes inside pipecat-ai: reinstall that package (pip install --force-reinstall pipecat-ai)"
    )


class SileroModel:
    """Scores batches at either rate, with an onnxruntime session for each on one CPU thread.

    `score` is a pure function of its arguments and may be called from any thread. A muted caller, many
    gateways and most of a simulation send digital silence. The model's answers to a run of silence from a
    fresh state on are always the same, so they are computed once and remembered.

    Args:
        path: The path of the ONNX file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        model = path.read_bytes()
        whole = _session(model)
        self._runs = {rate: _run_of(model, whole, shape) for rate, shape in _SHAPES.items()}
        self._silence = {rate: _Silence(shape) for rate, shape in _SHAPES.items()}
        one_s, many_s = self._measured_s(1), self._measured_s(_MANY)
        self._window_s = max(0.0, many_s - one_s) / (_MANY - 1)
        self._call_s = max(0.0, one_s - self._window_s)

    def cost_s(self, count: int) -> float:
        """Return how long a batch of so many windows takes, in seconds of CPU, as measured at the start."""
        return self._call_s + count * self._window_s

    def _measured_s(self, count: int) -> float:
        shape = _SHAPES[16000]
        audio = [bytes(shape.context_bytes), bytes(shape.window_bytes)] * count
        states = np.zeros((2, count, HIDDEN), np.float32)
        times = []
        for _ in range(4):
            began = time.thread_time()
            self._score(shape, audio, states)
            times.append(time.thread_time() - began)
        return min(times)

    @staticmethod
    def fresh_state() -> FloatArray:
        """Return the recurrent state before any audio, `[2, 1, 128]`."""
        return np.zeros((2, 1, HIDDEN), np.float32)

    def score(
        self, shape: WindowShape, audio: Sequence[bytes], states: FloatArray
    ) -> tuple[list[float], list[float], FloatArray]:
        """Score one window of each of n streams.

        Args:
            shape: The shape of the windows, which all have the same rate.
            audio: 2n pieces of PCM16 little-endian mono: for each stream its context, then its window.
            states: The recurrent states before it, of shape ``[2, n, 128]``. They are only read.

        Returns:
            The n speech probabilities; the n mean powers of the window, where 1.0 is a full-scale square wave; and
            the states after it, of shape ``[2, n, 128]``.
        """
        silence = self._silence[shape.sample_rate]
        silent = silence.among(audio)
        if not silent:
            return self._score(shape, audio, states)
        count = len(audio) // 2
        known = {i: answer for i in silent if (answer := silence.answer(states[:, i : i + 1])) is not None}
        asked = [i for i in range(count) if i not in known]
        scores, powers, after = [0.0] * count, [0.0] * count, np.empty_like(states)
        if asked:
            pieces = [piece for i in asked for piece in audio[2 * i : 2 * i + 2]]
            asked_scores, asked_powers, after[:, asked] = self._score(shape, pieces, states[:, asked])
            for i, score, power in zip(asked, asked_scores, asked_powers, strict=True):
                scores[i], powers[i] = score, power
        for i in silent:
            if i in known:
                scores[i], after[:, i : i + 1] = known[i]
            else:
                silence.learn(states[:, i : i + 1], (scores[i], after[:, i : i + 1]))
        return scores, powers, after

    def hear(self, shape: WindowShape, audio: Sequence[bytes], state: FloatArray) -> FloatArray:
        """Let the model hear windows of one stream one after the other, without their scores.

        Args:
            shape: The shape of the windows.
            audio: For each window its context, then itself: PCM16 little-endian mono.
            state: The state before them, of shape ``[2, 1, 128]``.

        Returns:
            The state after the last of them.
        """
        silent = set(self._silence[shape.sample_rate].among(audio))
        began, count = 0, len(audio) // 2
        while began in silent:
            _, _, state = self.score(shape, audio[2 * began : 2 * began + 2], state)
            began += 1
        for left in range(-(-(count - began) // _ROW), 0, -1):
            ended = began + -(-(count - began) // left)
            _, state = self._runs[shape.sample_rate](_signal(shape, audio[2 * began : 2 * ended]), state)
            began = ended
        return state

    def _score(
        self, shape: WindowShape, audio: Sequence[bytes], states: FloatArray
    ) -> tuple[list[float], list[float], FloatArray]:
        """Score a batch with the model, without the memory of silence."""
        signal = _signal(shape, audio)
        scores, after = self._runs[shape.sample_rate](signal, states)
        window = signal[:, shape.context :]
        powers = np.vecdot(window, window) / shape.samples
        return scores[:, 0].tolist(), powers.tolist(), after


_Run = Callable[[FloatArray, FloatArray], Sequence[FloatArray]]
"""Takes windows with their contexts, and the states of n streams before them: a window of each, or several of each, the
next of all before the one after it (`_ROW` at most). Returns the scores of the n last, and the states after them.
"""


def _signal(shape: WindowShape, audio: Sequence[bytes]) -> FloatArray:
    """Return the samples of windows and their contexts, a row each, at full scale 1.0."""
    samples = np.frombuffer(b"".join(audio), dtype="<i2").reshape(-1, shape.context + shape.samples)
    signal: FloatArray = np.multiply(samples, _FULL_SCALE, dtype=np.float32)
    return signal


_ROW = 8
"""So many windows are one product of matrices. Of more, sums are made in two parts, and differ in the last bit."""


def _session(
    model: bytes,
    level: onnxruntime.GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])


def _run_of(model: bytes, whole: onnxruntime.InferenceSession, shape: WindowShape) -> _Run:
    """Return what scores windows of one rate: the short form of the model if its answers are those of the file, to the
    bit, and else the file.
    """
    rate = np.array(shape.sample_rate, dtype=np.int64)

    def run_whole(signal: FloatArray, states: FloatArray) -> Sequence[FloatArray]:
        streams = states.shape[1]
        scores = states
        for at in range(0, len(signal), streams):
            inputs = {"input": signal[at : at + streams], "state": states, "sr": rate}
            scores, states = whole.run(None, inputs)
        return scores, states

    try:
        # Not with all: convolutions in blocks of channels have other last bits.
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        chain = _session(chain_of(model, samples=shape.samples, context=shape.context), level)

        def run_chain(signal: FloatArray, states: FloatArray, *, row: int) -> Sequence[FloatArray]:
            count, streams = len(signal), states.shape[1]
            rows = -(-count // row)
            length = -(-count // rows)
            missing = rows * length - count
            if missing:  # of a batch with one window of each stream
                signal = np.concatenate([signal, np.zeros((missing, signal.shape[1]), np.float32)])
                states = np.concatenate([states, np.zeros((2, missing, HIDDEN), np.float32)], axis=1)
            steps = np.array((count // streams, states.shape[1], HIDDEN), np.int64)
            inputs = {"input": signal.reshape(rows, length, -1), "state": states, "steps": steps}
            scores, after = chain.run(None, inputs)
            return (scores[:streams], after[:, :streams]) if missing else (scores, after)

        for row in (_ROW, 1):
            run = partial(run_chain, row=row)
            if _agree(run_whole, run, shape):
                return run
            logger.debug(
                "the VAD's model has other answers at {} Hz than its short form of rows of {}",
                shape.sample_rate,
                row,
            )
    except Exception as error:  # noqa: BLE001  another model than the one that is known: it is used as it is
        logger.debug("the VAD's model has no short form at {} Hz: {}", shape.sample_rate, error)
    return run_whole


def _agree(one: _Run, other: _Run, shape: WindowShape) -> bool:
    """Return whether both have the same answers to some noise, soft and loud, to the bit."""
    noise = np.random.default_rng(0)
    scales = (1e-3, 0.03, 0.3)
    for count, steps, levels in (
        *((1, 1, scales), (3, 1, scales)),
        *((_ROW, 1, scales[1:2]), (2 * _ROW + 3, 1, scales[1:2]), (1, _ROW, scales[1:2])),
    ):
        states = np.zeros((2, count, HIDDEN), np.float32)
        for scale in levels:
            signal = noise.normal(0, scale, (count * steps, shape.context + shape.samples)).astype(np.float32)
            answers, others = one(signal, states), other(signal, states)
            if not all(np.array_equal(a, b) for a, b in zip(answers, others, strict=True)):
                return False
            states = answers[1]
    return True


_Answer = tuple[float, FloatArray]


class _Silence:
    """Remembers the model's answers to windows of zeros that follow each other, from a fresh state on."""

    STEPS = 256
    """How many windows (8 s) are remembered; the engine begins with a fresh state every two seconds."""

    def __init__(self, shape: WindowShape) -> None:
        self._context = bytes(shape.context_bytes)
        self._window = bytes(shape.window_bytes)
        self._answers: dict[bytes, _Answer] = {}  # by the state before
        self._states = {SileroModel.fresh_state().tobytes()}  # those that silence from the beginning leads to

    def among(self, audio: Sequence[bytes]) -> list[int]:
        """Return which windows are silence behind silence, of pieces that are a context and a window in turn."""
        if self._window not in audio:
            return []
        return [
            i
            for i in range(len(audio) // 2)
            if audio[2 * i + 1] == self._window and audio[2 * i] == self._context
        ]

    def answer(self, state: FloatArray) -> _Answer | None:
        """Return the model's answer to silence in this state, or None if it is not known."""
        return self._answers.get(state.tobytes())

    def learn(self, state: FloatArray, answer: _Answer) -> None:
        """Remember the model's answer to silence in this state, if the same may come again."""
        if len(self._answers) >= self.STEPS:
            return
        before = state.tobytes()
        if before in self._states:
            after = answer[1].copy()
            self._answers[before] = answer[0], after
            self._states.add(after.tobytes())


_models: dict[Path, SileroModel] = {}
_loading = threading.Lock()


def load_model(path: Path | None = None) -> SileroModel:
    """Return the process's one model for a file. The first call takes about 0.1 s.

    Args:
        path: The path of the ONNX file; the default is `find_model()`.

    Raises:
        ModelMissing: No installed package contains the model.
    """
    path = path or find_model()
    with _loading:
        model = _models.get(path)
        if model is None:
            model = _models[path] = SileroModel(path)
        return model
