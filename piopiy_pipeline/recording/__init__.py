"""Recordings of whole calls: one zip file a call, made by a live agent or by the harness, read by `replay`.

Above the session, whose call is recorded, and below the agent, which owns the recorder of each call.
The format is described in docs/recording-format.md.
"""

from piopiy_pipeline.recording.format import RecordingError
from piopiy_pipeline.recording.reader import Recording
from piopiy_pipeline.recording.recorder import CallRecorder
from piopiy_pipeline.recording.redaction import Redaction

__all__ = ["CallRecorder", "Recording", "RecordingError", "Redaction"]
