"""The old name of `piopiy_pipeline.capture`, kept for one release.

Every name is looked up in `piopiy_pipeline.capture` under its new name, with a `DeprecationWarning`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from piopiy_pipeline import capture

if TYPE_CHECKING:
    from piopiy_pipeline.capture import CallCapture as CallRecorder
    from piopiy_pipeline.capture import CapturedCall as Recording
    from piopiy_pipeline.capture import CaptureError as RecordingError
    from piopiy_pipeline.capture import Redaction

__all__ = ["CallRecorder", "Recording", "RecordingError", "Redaction"]

_NEW_NAMES = {
    "CallRecorder": "CallCapture",
    "Recording": "CapturedCall",
    "RecordingError": "CaptureError",
    "Redaction": "Redaction",
}


def __getattr__(name: str) -> object:
    if name not in _NEW_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _NEW_NAMES[name]
    warnings.warn(
        f"piopiy_pipeline.recording.{name} is now piopiy_pipeline.capture.{new}",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(capture, new)
