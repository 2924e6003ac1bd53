"""How pipecat's TTS services learn what a text is said as, and which written words the spoken ones stand for.

A `TTSService` compares the text that it speaks with the text that was written, word by word, and holds its place in
the written text while the words differ. The comparison knows no more than the two texts, so it often takes a
price for said when half of it was: "12,50 €" against "zwölf Euro fünfzig" gives "12,50" for "zwölf". Who has
written the text for speech knows which words belong together; `align_words` gives pipecat that knowledge.

Only the agent's side may import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipecat.frames.frames import AggregatedTextFrame
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.aggregated_frame_sequencer import AggregatedFrameSequencer
from pipecat.utils.context.text_segment_map import TextSegment, TextSegmentMap
from pipecat.utils.context.word_completion_tracker import WordCompletionTracker
from pipecat.utils.text.base_text_aggregator import BaseTextAggregator
from pipecat.utils.text.transforms.pronunciations import PronunciationTransform
from pipecat.utils.text.transforms.text_transform import TextTransform

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "SPOKEN_PARTS",
    "Parts",
    "add_text_transform",
    "align_words",
    "check",
    "keep_unspoken_text",
    "speaks_tokens",
    "use_text_aggregator",
]

SPOKEN_PARTS = "spoken_parts"
"""Under this key the metadata of a text's frame say how it is spoken, as `Parts`."""

Parts = Sequence[tuple[str, str]]
"""Pairs of what is written and what is said, in order; joined, each side is whole."""


def add_text_transform(service: TTSService, transform: TextTransform) -> None:
    """Add a transform behind those of the author, and before pronunciations: these are marks for the TTS alone."""
    transforms = service._text_transforms
    marks = (i for i, (_, each) in enumerate(transforms) if isinstance(each, PronunciationTransform))
    transforms.insert(next(marks, len(transforms)), ("*", transform))


def speaks_tokens(service: TTSService) -> bool:
    """Return whether the service speaks what a model writes piece by piece, and not sentence by sentence."""
    return service._is_streaming_tokens


def use_text_aggregator(service: TTSService, aggregator: BaseTextAggregator) -> None:
    """Have a service cut what a model writes with another aggregator."""
    aggregator.set_language(service.text_aggregation_language)
    service._text_aggregator = aggregator  # type: ignore[assignment]  # what the base class uses of it all have


def keep_unspoken_text(service: TTSService, is_silent: Callable[[str], bool]) -> None:
    """Have a text of which nothing is left to say reach the context all the same, in its place.

    pipecat forgets a text that a transform has made empty.

    Args:
        service: The voice, before it runs.
        is_silent: Whether nothing is said of a text; asked right after its transforms have run.
    """
    speak = service._speak_text

    async def speak_or_pass_on(frame: AggregatedTextFrame, text: str, context_id: str) -> None:
        await speak(frame, text, context_id)
        if is_silent(text):
            await service._push_skipped_text(frame, context_id)

    service._speak_text = speak_or_pass_on  # type: ignore[method-assign, assignment]


def align_words(service: TTSService, parts_of: Callable[[str, str | None], Parts | None]) -> None:
    """Tell a service with word times which written words its spoken words stand for, and note the same in the
    frame of each text, for the estimate of what was heard of a voice without word times.

    Args:
        service: The voice, before it runs.
        parts_of: Takes a written text and what is said of it (None: what its transforms have just made of it),
            and returns how they belong together; None if that is not known, or nothing is said otherwise.
    """
    register, announce = service._register_spoken_text, service._announce_text

    async def announce_aligned(frame: AggregatedTextFrame, context_id: str) -> None:
        parts = parts_of(frame.text, None)
        if parts is not None:
            frame.metadata[SPOKEN_PARTS] = parts
        await announce(frame, context_id)

    async def register_aligned(frame: AggregatedTextFrame, text: str, context_id: str) -> None:
        await register(frame, text, context_id)
        slots = service._aggregated_frame_sequencer._slots
        if not slots or slots[-1].frame is not frame or slots[-1].tracker is None:
            return  # a sentence made of pieces, or a voice without word times
        if frame.raw_text not in (None, frame.text):
            return
        parts = parts_of(frame.text, text)
        if parts is not None:
            slots[-1].tracker._segment_map = AlignedSegmentMap(text, frame.text, parts)

    service._announce_text = announce_aligned  # type: ignore[method-assign, assignment]
    service._register_spoken_text = register_aligned  # type: ignore[method-assign, assignment]


class AlignedSegmentMap(TextSegmentMap):
    """A place in a written text that follows the words that are spoken, by an alignment that is known.

    Args:
        spoken: The text that is spoken.
        written: The text that was written.
        parts: How they belong together, at whole words.
    """

    def __init__(self, spoken: str, written: str, parts: Parts) -> None:
        self._parts = parts
        super().__init__(spoken, written)

    def _build_segments(self, tts_text: str, original_text: str) -> list[TextSegment]:  # type: ignore[override]
        segments: list[TextSegment] = []
        at = 0
        for written, spoken in self._parts:
            segments.append(TextSegment(written, spoken, at, at + len(written)))
            at += len(written)
        return segments

    def _keep_derived_cursors_in_pace(self, seg: TextSegment, new_pos: int) -> None:
        if seg.original != seg.tts:
            if new_pos >= len(seg.tts):
                self._commit_transformed_span(seg)
            return
        self._llm_spoken_pos = max(self._llm_spoken_pos, seg.original_start + len(seg.tts[:new_pos].rstrip()))
        text, end = self._llm_text, self._llm_spoken_pos
        while end < seg.original_end and not text[end].isspace() and not text[end].isalnum():
            end += 1  # a mark behind a word belongs to it
        self._llm_pos = self._user_facing_pos = max(self._llm_pos, end)

    def _commit_transformed_span(self, seg: TextSegment) -> None:
        end = seg.original_start + len(seg.original.rstrip())
        self._user_facing_pos = self._llm_pos = self._llm_spoken_pos = max(self._llm_pos, end)


def check() -> None:
    """Check that pipecat is inside as this module needs it.

    Raises:
        CompatError: An upgrade has taken something away. The message names it.
    """
    used: dict[type, tuple[str, ...]] = {
        TTSService: (
            "_is_streaming_tokens",
            "_speak_text",
            "_push_skipped_text",
            "_register_spoken_text",
            "_announce_text",
            "_text_transforms",
            "_text_aggregator",
            "_aggregated_frame_sequencer",
        ),
        AggregatedFrameSequencer: ("_append_spoken_slot", "_slots"),
        WordCompletionTracker: ("add_word_and_check_complete", "_segment_map"),
        TextSegmentMap: (
            "_build_segments",
            "_keep_derived_cursors_in_pace",
            "_commit_transformed_span",
        ),
    }
    cursors = ("_llm_text", "_llm_pos", "_llm_spoken_pos", "_user_facing_pos")
    needed: list[tuple[object, str]] = [(owner, name) for owner, names in used.items() for name in names]
    needed += [(TextSegmentMap("a", "a"), name) for name in cursors]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)


check()
