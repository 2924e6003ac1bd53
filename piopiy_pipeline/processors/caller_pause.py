"""Says that the caller is quiet, before it is sure that the caller has stopped.

A VAD waits for the end of speech, and half of that time is enough to transcribe what was said. So a
transcription begins at the pause, and is dropped if the caller goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import SystemFrame

__all__ = ["CallerPausedFrame"]


@dataclass
class CallerPausedFrame(SystemFrame):
    """The caller has been quiet for 0.1 s and may go on.

    `VadStage` pushes it downstream. A `VADUserStoppedSpeakingFrame` always follows one of these, without
    speech between the two.
    """

    began_ago_s: float | None = None
    """How long ago the VAD was sure that speech began, in seconds of the audio that came before this frame. It depends
    on the audio alone, and not on when the frames arrive. None: nobody knows."""
    ago_s: float = 0.0
    """The same of the pause. Below 0: the audio of it is still to come."""
