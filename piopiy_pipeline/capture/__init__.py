"""Captures of whole calls: one zip file a call, made by a live agent or by the harness, read by `replay`.

A capture holds all that a replay needs: the caller's audio with its times, the exchanges with network
providers, and the events. (A *recording* is the stereo WAV that the gateway writes.) This package stands above
the session, whose call is captured, and below the agent, which owns the capture of each call. The format
is described in docs/recording-format.md.
"""

from piopiy_pipeline.capture.call_capture import CallCapture
from piopiy_pipeline.capture.format import CaptureError
from piopiy_pipeline.capture.reader import CapturedCall
from piopiy_pipeline.capture.redaction import Redaction

__all__ = ["CallCapture", "CaptureError", "CapturedCall", "Redaction"]
