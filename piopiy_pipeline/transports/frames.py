"""The frames that only the transports make."""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import ControlFrame, InputAudioRawFrame, SystemFrame, TTSTextFrame
from pipecat.utils.utils import obj_id

__all__ = ["CallerAudioFrame", "HeardTextFrame", "SpeechMarkFrame"]


class CallerAudioFrame(InputAudioRawFrame):
    """The caller's audio: PCM16 mono at `sample_rate`.

    A frame like pipecat's own, cheaper to make and to print: pipecat formats each frame that it
    pushes, 25 of them a second and stage. `scored` tells a VAD stage that it has had these samples.
    """

    def __init__(self, audio: bytes, sample_rate: int, *, scored: bool = False) -> None:
        self.id = obj_id()
        self.name = "CallerAudioFrame"
        self.pts = None
        self.broadcast_sibling_id = None
        self.metadata = {}
        self.transport_source = None
        self.transport_destination = None
        self.audio = audio
        self.sample_rate = sample_rate
        self.num_channels = 1
        self.num_frames = len(audio) // 2
        self.scored = scored

    def __str__(self) -> str:
        return self.name


@dataclass
class HeardTextFrame(SystemFrame, TTSTextFrame):
    """Text that the caller has heard.

    A `TTSTextFrame` to everybody who looks for one, and a system frame, so that it is handled
    before an interruption that comes behind it and dropped by nobody.
    """

    @classmethod
    def of(cls, frame: TTSTextFrame, text: str | None = None) -> HeardTextFrame:
        """The same text (or the part of it that was heard) as a frame that survives an interruption."""
        heard = cls(
            frame.text if text is None else text,
            frame.text_type,
            context_id=frame.context_id,
            raw_text=frame.raw_text if text is None else None,
            segment_id=frame.segment_id,
        )
        heard.will_be_spoken = frame.will_be_spoken
        heard.includes_inter_frame_spaces = frame.includes_inter_frame_spaces
        heard.append_to_context = frame.append_to_context
        heard.skip_tts = frame.skip_tts
        heard.pts = frame.pts
        return heard


@dataclass
class SpeechMarkFrame(ControlFrame):
    """A place in the speech. It leaves the transport when everything before it was heard.

    Sent behind a `TTSSpeakFrame`, it tells `Call.say()` how far the caller has heard.
    """

    number: int = 0
