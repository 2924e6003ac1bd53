"""Pipecat's smart-turn model without its analyzer: the features it wants and where its file lies.

`LocalSmartTurnAnalyzerV3` makes a session for each call (48 MB and 30 ms). One session serves a process, so the two
parts of it that are not public are used here. Only the agent's side may import this module.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.turn import smart_turn

from piopiy_pipeline.compat import CompatError, check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

try:
    from pipecat.audio.turn.smart_turn import _whisper_features
except ImportError:
    check_attributes("pipecat-ai", [(smart_turn, "_whisper_features")], written_for=PIPECAT, used_in=__name__)
    raise

__all__ = ["MODEL_RATE", "MODEL_S", "check", "model_file", "smart_turn_features"]

MODEL_RATE, MODEL_S = 16_000, 8
"""The model hears 8 s at 16 kHz, the end of which is the end of what was said."""
_FILE = Path("data/smart-turn-v3.2-cpu.onnx")


def model_file() -> Path:
    """Return the path of the model in pipecat's package.

    Raises:
        CompatError: It is not there.
    """
    spec = importlib.util.find_spec("pipecat.audio.turn.smart_turn")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(place) / _FILE).is_file():
            return path
    raise CompatError(
        "pipecat-ai", f"pipecat.audio.turn.smart_turn has no {_FILE}", written_for=PIPECAT, used_in=__name__
    )


def smart_turn_features(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the model takes.

    Args:
        samples: float32 of shape ``[128000]``, from -1 to 1, padded with zeros at the beginning.

    Returns:
        float32 of shape ``[80, 800]``.
    """
    return np.asarray(
        _whisper_features.compute_whisper_log_mel_features(samples, do_normalize=True), np.float32
    )


def check() -> None:
    """Check that pipecat has what is used here.

    Raises:
        CompatError: Something is missing.
    """
    check_attributes(
        "pipecat-ai",
        [(_whisper_features, "compute_whisper_log_mel_features")],
        written_for=PIPECAT,
        used_in=__name__,
    )


check()
