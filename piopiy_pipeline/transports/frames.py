"""The frames that only the transports make."""

from __future__ import annotations

from dataclasses import dataclass

from pipecat.frames.frames import (
    ControlFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SystemFrame,
    TTSStartedFrame,
    TTSTextFrame,
)
from pipecat.utils.text.base_text_aggregator import TextType

__all__ = [
    "CutAnswerEndFrame",
    "EagerContextFrame",
    "EagerWithdrawnFrame",
    "HeardTextFrame",
    "MoreTextFrame",
    "SpeechMarkFrame",
    "as_heard",
    "as_written",
]


@dataclass
class HeardTextFrame(SystemFrame, TTSTextFrame):
    """Text that the caller has heard.

    A `TTSTextFrame` to everybody who looks for one, and a system frame, so that it is handled
    before an interruption that comes after it, and never dropped.
    """

    @classmethod
    def of(cls, frame: TTSTextFrame, text: str | None = None) -> HeardTextFrame:
        """Return the same text (or the part of it that was heard) as a frame that survives an interruption."""
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


def as_written(frame: TTSTextFrame) -> TTSTextFrame | None:
    """Return a word that was heard as the model wrote it: "$4.50" for the last of "four dollars and fifty cents",
    and None for the words before it.
    """
    if frame.text_type != TextType.WORD or frame.segment_id is None or frame.raw_text == frame.text:
        return frame
    return None if frame.raw_text is None else HeardTextFrame.of(frame, frame.raw_text)


@dataclass
class _HeardResponseStart(SystemFrame, LLMFullResponseStartFrame):
    pass


@dataclass
class _HeardResponseEnd(SystemFrame, LLMFullResponseEndFrame):
    pass


@dataclass
class _HeardUtteranceStart(SystemFrame, TTSStartedFrame):
    pass


@dataclass
class _HeardUtteranceEnd(SystemFrame, LLMAssistantPushAggregationFrame):
    pass


_BOUNDS: dict[type[Frame], type[Frame]] = {
    LLMFullResponseStartFrame: _HeardResponseStart,
    LLMFullResponseEndFrame: _HeardResponseEnd,
    TTSStartedFrame: _HeardUtteranceStart,
    LLMAssistantPushAggregationFrame: _HeardUtteranceEnd,
}


def as_heard(frame: Frame) -> Frame:
    """Return a frame as it goes on when everything before it was heard.

    Text that was heard is a system frame, which overtakes others. So the frames between which text is one turn
    of the bot are system frames, too: a word of the next turn would else be part of this one.
    """
    if isinstance(frame, TTSTextFrame):
        return frame if isinstance(frame, HeardTextFrame) else HeardTextFrame.of(frame)
    bound = _BOUNDS.get(type(frame))
    if bound is None:
        return frame
    heard = bound.__new__(bound)
    heard.__dict__.update(frame.__dict__)  # the same frame to observers, by its id
    return heard


@dataclass
class CutAnswerEndFrame(LLMFullResponseEndFrame):
    """The end of a model's answer that an interruption has cut off: it may be without a word."""


@dataclass
class MoreTextFrame(ControlFrame):
    """More of a sentence that was announced: what a model that speaks itself writes down while it speaks."""

    segment_id: int = 0
    """The id of the `AggregatedTextFrame` that has announced it."""
    text: str = ""


@dataclass
class SpeechMarkFrame(ControlFrame):
    """A place in the speech. It leaves the transport when everything before it was heard.

    Sent after a `TTSSpeakFrame`, it tells `Call.say()` how far the caller has heard.
    """

    number: int = 0


@dataclass
class EagerContextFrame(LLMContextFrame):
    """Asks the model before the caller's turn is over. The transport keeps the answer back until it is.

    To the model and every other stage it is a question like any other. It has a copy of the conversation.
    """

    withdrawn: bool = False
    """Whether nobody wants the answer any more. The model may come to the question later than to its withdrawal."""


@dataclass
class EagerWithdrawnFrame(InterruptionFrame):
    """Drops the answer to an `EagerContextFrame`.

    To the model, the voice and every other stage it is an interruption: they give up what they are doing. It ends in
    the transport, because nothing of the answer has left it.
    """
