"""Recordings of whole calls: one zip file a call, made by a live agent or by the harness, read by `replay`.

Above the session, whose call is recorded, and below the agent, which owns the recorder of each call.
The format is described in docs/recording-format.md.
"""

from piopiy_pipeline.capture.call_capture import CallCapture
from piopiy_pipeline.capture.format import CaptureError
from piopiy_pipeline.capture.reader import CapturedCall
from piopiy_pipeline.capture.redaction import Redaction

__all__ = ["CallCapture", "CaptureError", "CapturedCall", "Redaction"]
