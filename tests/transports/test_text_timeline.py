"""Which words were heard: in proportion to the audio, and by the TTS's own word times."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import AggregatedTextFrame, TTSStartedFrame, TTSStoppedFrame, TTSTextFrame

from piopiy_pipeline.transports.frames import MoreTextFrame
from piopiy_pipeline.transports.spoken_contexts import HeardContext
from piopiy_pipeline.transports.text_timeline import SpokenSentence, TextTimeline, WordClock, heard_words

S = 1_000_000_000


@pytest.mark.parametrize(
    ("fraction", "heard"),
    [(0.0, ""), (0.2, "one"), (0.5, "one two"), (0.99, "one two three"), (1.0, "one two three four")],
)
def test_words_count_once_their_letters_are_over(fraction: float, heard: str) -> None:
    assert heard_words("one two three four", fraction) == heard


def test_a_sentence_still_being_made_is_not_overrated() -> None:
    """Half a second of a long sentence is there and was heard: at a usual pace that is two words."""
    sentence = SpokenSentence("one two three four five six seven eight nine ten", 0, 8000)
    assert sentence.heard(4000, queued=4000) == "one two"


def test_a_sentence_heard_to_its_end_is_heard_in_full() -> None:
    sentence = SpokenSentence("good morning", 100, 8000)
    sentence.end = 900
    assert sentence.heard(100, 900) == ""
    assert sentence.heard(900, 900) == "good morning"


def test_a_word_lies_as_far_into_the_audio_as_its_time_is_from_the_contexts_first_audio() -> None:
    clock = WordClock(8000)
    clock.audio("a", 1000, 5 * S)
    clock.audio("a", 3000, 6 * S)  # not the first: changes nothing
    assert clock.word("a", 5 * S) == 1001
    assert clock.word("a", int(5.5 * S)) == 5001


def test_the_next_context_counts_from_the_last_word_when_speech_runs_ahead_of_the_clock() -> None:
    clock = WordClock(8000)
    clock.audio("a", 0, 5 * S)
    clock.word("a", 9 * S)
    clock.ended("a")
    clock.audio("b", 40_000, int(5.1 * S))
    assert clock.word("b", 9 * S) == 40_001


def test_words_of_an_unknown_context_have_no_place() -> None:
    clock = WordClock(8000)
    clock.audio("a", 0, 0)
    clock.interrupted()
    assert clock.word("a", S) is None


def sentence(text: str, *, context: str = "a", spoken: bool = True) -> AggregatedTextFrame:
    frame = AggregatedTextFrame(text, "sentence", context_id=context)
    frame.will_be_spoken = spoken
    return frame


def test_of_a_sentence_without_word_times_the_words_heard_are_estimated() -> None:
    text = TextTimeline(8000)
    assert text.place(sentence("one two three four"), 0, 0) is None, "due behind what was said so far"
    assert text.sentence_progress(8000, 16_000) == "one two"
    assert [part.text for part in text.cut(8000, 16_000)] == ["one two"]
    assert text.sentence_progress(8000, 16_000) is None, "it was cut off"


def test_a_sentence_that_was_heard_to_its_end_needs_no_estimate() -> None:
    text, said = TextTimeline(8000), sentence("one two three four")
    text.place(said, 0, 0)
    told = TTSTextFrame(said.text, "sentence", context_id="a", segment_id=said.id)
    assert text.place(told, 16_000, 0) is None
    assert text.sentence_progress(16_000, 16_000) == "one two three four"
    text.heard(told)
    assert text.cut(16_000, 16_000) == []


def test_a_sentence_whose_end_was_heard_with_the_interruption_is_told_once() -> None:
    text, said = TextTimeline(8000), sentence("one two three four")
    text.place(said, 0, 0)
    told = TTSTextFrame(said.text, "sentence", context_id="a", segment_id=said.id)
    text.place(told, 16_000, 0)
    assert text.cut(16_000, 16_000, due=[told]) == []


def test_of_a_sentence_that_has_grown_no_more_was_heard_than_was_said_when_its_audio_broke_off() -> None:
    text, said = TextTimeline(8000), sentence("")
    text.place(said, 0, 0)
    text.place(MoreTextFrame(segment_id=said.id, text="one two three four"), 8000, 0)
    text.place(TTSTextFrame("one two", "sentence", context_id="a", segment_id=said.id), 8000, 0)
    assert [part.text for part in text.cut(7900, 8000)] == ["one"]


def test_words_with_times_have_their_own_place_and_need_no_estimate() -> None:
    text, said = TextTimeline(8000), sentence("one two")
    text.place(said, 0, 0)
    text.audio("a", 100, 5 * S)
    word = TTSTextFrame("two", "word", context_id="a", segment_id=said.id)
    word.pts = 6 * S
    assert text.place(word, 16_000, 5 * S) == 8101
    assert text.sentence_progress(4000, 16_000) is None


def test_text_that_the_model_is_not_to_know_is_marked_until_its_speech_has_ended() -> None:
    text = TextTimeline(8000)
    text.place(TTSStartedFrame(context_id="a", append_to_context=False), 0, 0)
    text.place(sentence("one two"), 0, 0)
    assert text.sentence_progress(4000, 8000) is None
    assert [part.append_to_context for part in text.cut(8000, 8000)] == [False]
    stopped = TTSStoppedFrame(context_id="a")
    text.place(stopped, 0, 0)
    text.stopped(stopped)
    text.place(sentence("one two"), 0, 0)
    assert [part.append_to_context for part in text.cut(8000, 8000)] == [True]


def test_a_sentence_that_nobody_says_is_not_heard() -> None:
    text = TextTimeline(8000)
    text.place(sentence("one two", spoken=False), 0, 0)
    assert text.cut(8000, 8000) == []


def test_behind_each_interruption_it_is_told_once_what_was_heard_of_each_context() -> None:
    text = TextTimeline(8000)
    told: list[dict[str, HeardContext]] = []
    text.on_cut = told.append
    text.cut(0, 0)
    text.audio("a", 0, 0)
    text.audio("b", 1000, 0)
    text.cut(1500, 2000)
    text.cut(1500, 2000)
    assert told == [{}, {"a": HeardContext(1000, True), "b": HeardContext(500, False)}, {}]
