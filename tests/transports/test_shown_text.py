"""What stands in the place of the TTS of a text chat: pieces as they come, sentences when they are whole."""

from __future__ import annotations

from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)

from piopiy_pipeline.testing import run_stage
from piopiy_pipeline.transports.frames import SpeechMarkFrame
from piopiy_pipeline.transports.shown_text import MAX_SENTENCE, ShownText


def out_of(*frames: Frame) -> list[Frame]:
    return run_stage(ShownText(), frames)


def shown(frames: list[Frame]) -> list[str]:
    return [frame.text for frame in frames if isinstance(frame, TTSTextFrame)]


def sentences(frames: list[Frame]) -> list[str]:
    return [frame.text for frame in frames if type(frame) is AggregatedTextFrame]


def answer(*words: str) -> list[Frame]:
    return [LLMFullResponseStartFrame(), *(LLMTextFrame(word) for word in words), LLMFullResponseEndFrame()]


def test_each_piece_is_shown_at_once_and_each_sentence_follows_when_it_is_whole() -> None:
    frames = out_of(*answer("At 7", ".", "30 ", "it is. ", "Or at", " 8?"))
    assert shown(frames) == ["At 7", ".", "30 ", "it is. ", "Or at", " 8?"]
    assert sentences(frames) == ["At 7.30 it is.", "Or at 8?"]
    whole = [frame for frame in frames if type(frame) is AggregatedTextFrame]
    assert not any(frame.append_to_context for frame in whole), (
        "a sentence would be in the conversation twice"
    )


def test_a_text_without_an_end_is_a_sentence_in_parts() -> None:
    frames = out_of(*answer(*["word " * 100] * 10))
    assert len(sentences(frames)) > 1
    assert max(map(len, sentences(frames))) <= MAX_SENTENCE + 500


def test_what_is_said_besides_waits_for_the_end_of_the_answer() -> None:
    mark = SpeechMarkFrame(number=1)
    first, *rest = answer("One ", "two.")
    frames = out_of(first, rest[0], TTSSpeakFrame("Besides."), mark, *rest[1:])
    assert shown(frames) == ["One ", "two.", "Besides."]
    assert any(isinstance(frame, SpeechMarkFrame) for frame in frames)


def test_an_interruption_drops_what_waits_and_what_follows_is_shown() -> None:
    first, *rest = answer("One ", "two.")
    frames = out_of(first, rest[0], TTSSpeakFrame("Besides."), InterruptionFrame(), *answer("Three."))
    assert shown(frames)[-1] == "Three."
    assert "Besides." not in shown(frames)
