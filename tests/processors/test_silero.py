"""The model is found without importing the package that carries it, and loaded once."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from piopiy_pipeline.processors import silero
from piopiy_pipeline.processors.silero import (
    ModelMissing,
    SileroModel,
    WindowShape,
    find_model,
    load_model,
    window_shape,
)
from piopiy_pipeline.processors.silero_graph import chain_of


def test_the_model_inside_pipecat_is_found_where_silero_vad_is_not_installed() -> None:
    if importlib.util.find_spec("silero_vad") is not None:
        pytest.skip("silero-vad is installed here")
    assert find_model().parts[-4:] == ("audio", "vad", "data", "silero_vad.onnx")


def test_an_installed_silero_vad_is_preferred_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "silero_vad"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this would need torch')")
    shutil.copy(find_model(), package / "data" / "silero_vad.onnx")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert find_model() == package / "data" / "silero_vad.onnx"
    assert "silero_vad" not in sys.modules


def test_a_missing_model_says_what_to_reinstall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"silero_vad\.onnx was not found.*reinstall"):
        find_model()


def test_a_process_has_one_session_for_a_file() -> None:
    assert load_model() is load_model(find_model())


def test_another_rate_than_the_models_two_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="8000 or 16000 Hz, not at 24000 Hz: set audio_in_sample_rate"):
        window_shape(24000)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_what_is_remembered_of_silence_is_what_the_model_says(rate: int) -> None:
    shape = window_shape(rate)
    model, other = SileroModel(find_model()), SileroModel(find_model())
    context, zeros = bytes(shape.context_bytes), bytes(shape.window_bytes)
    noise = np.random.default_rng(0).normal(0, 900, (70, shape.samples)).astype("<i2")
    first: list[float] = []
    state = SileroModel.fresh_state()
    for _ in range(70):
        (probability,), _, state = model.score(shape, [context, zeros], state)
        first.append(probability)
    silent = noisy = reference = SileroModel.fresh_state()
    tail = context
    for n in range(70):  # remembered by now, beside a stream that is not
        window = noise[n].tobytes()
        both = np.concatenate([silent, noisy], axis=1)
        (quiet, loud), powers, both = model.score(shape, [context, zeros, tail, window], both)
        silent, noisy = both[:, :1], both[:, 1:]
        (expected,), (power,), reference = other.score(shape, [tail, window], reference)
        tail = window[-shape.context_bytes :]
        assert (quiet, loud, powers) == (first[n], expected, [0.0, power])
    assert np.array_equal(noisy, reference)
    assert np.array_equal(silent, state)


def in_turn(shape: WindowShape, count: int) -> tuple[list[float], list[float]]:
    """Return what our model and the file's own graph say to windows of streams that are as loud as lines are."""
    model = SileroModel(find_model())
    session = onnxruntime.InferenceSession(str(find_model()), providers=["CPUExecutionProvider"])
    rate = np.array(shape.sample_rate, dtype=np.int64)
    noise = np.random.default_rng(count)
    states = whole = np.concatenate([SileroModel.fresh_state()] * count, axis=1)
    ours: list[float] = []
    files: list[float] = []
    for _ in range(40):
        loud = 10 ** noise.uniform(0, 4, (count, 1))
        signal = (
            noise.normal(0, loud, (count, shape.context + shape.samples)).clip(-32768, 32767).astype("<i2")
        )
        pieces = [
            part.tobytes() for each in signal for part in (each[: shape.context], each[shape.context :])
        ]
        scores, _, states = model.score(shape, pieces, states)
        heard = signal.astype(np.float32) / 32768
        answers, whole = session.run(None, {"input": heard, "state": whole, "sr": rate})
        ours += scores
        files += answers[:, 0].tolist()
    assert np.array_equal(states, whole)
    return ours, files


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 20, 64])
def test_the_short_form_of_the_model_says_what_the_file_says_to_the_bit(rate: int, count: int) -> None:
    ours, files = in_turn(window_shape(rate), count)
    assert ours == files


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(("silent", "count"), [(0, 1), (0, 12), (0, 17), (3, 12), (5, 5)])
def test_windows_of_a_stream_that_are_heard_together_leave_the_state_of_one_after_the_other(
    rate: int, silent: int, count: int
) -> None:
    shape = window_shape(rate)
    model = SileroModel(find_model())
    noise = np.random.default_rng(count).normal(0, 900, (count, shape.samples)).astype("<i2")
    noise[:silent] = 0
    tail, audio = bytes(shape.context_bytes), []
    one = fresh = SileroModel.fresh_state()
    for window in (each.tobytes() for each in noise):
        audio += [tail, window]
        _, _, one = model.score(shape, [tail, window], one)
        tail = window[-shape.context_bytes :]
    assert np.array_equal(model.hear(shape, audio, fresh), one)


def test_the_short_form_of_the_model_has_no_branch() -> None:
    shape = window_shape(16000)
    chain = chain_of(find_model().read_bytes(), samples=shape.samples, context=shape.context)
    assert b"LSTM" in chain
    assert b"then_branch" not in chain


def changed(model: bytes, *, samples: int, context: int) -> bytes:
    chain = chain_of(model, samples=samples, context=context)
    assert b"reflect" in chain
    return chain.replace(b"reflect", b"unknown")


def louder(model: bytes, *, samples: int, context: int) -> bytes:
    chain = chain_of(model, samples=samples, context=context)
    return chain.replace(np.array(2, "<f4").tobytes(), np.array(2.01, "<f4").tobytes())


def unknown(model: bytes, *, samples: int, context: int) -> bytes:
    return chain_of(model, samples=samples + 2, context=context)


@pytest.mark.parametrize("form", [changed, louder, unknown], ids=["does not load", "differs", "is not known"])
def test_a_model_without_such_a_short_form_is_run_as_it_is(
    monkeypatch: pytest.MonkeyPatch, form: object
) -> None:
    monkeypatch.setattr(silero, "chain_of", form)
    ours, files = in_turn(window_shape(16000), 3)
    assert ours == files
