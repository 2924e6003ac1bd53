"""How much was heard of each context."""

from __future__ import annotations

from piopiy_pipeline.transports.spoken_contexts import HeardContext, SpokenContexts


def test_without_speech_nothing_is_cut_off() -> None:
    assert SpokenContexts().cut(0, 0) == {}


def test_what_was_heard_of_each_context_is_counted_from_its_own_beginning() -> None:
    spoken = SpokenContexts()
    spoken.audio("a", 0)
    spoken.audio("b", 1000)
    spoken.audio("b", 1500)
    spoken.audio("c", 2000)
    assert spoken.cut(1400, 2500) == {
        "a": HeardContext(1000, True),
        "b": HeardContext(400, False),
        "c": HeardContext(0, False),
    }


def test_audio_of_no_context_in_between_counts_for_none() -> None:
    spoken = SpokenContexts()
    spoken.audio("a", 0)
    spoken.audio(None, 300)
    spoken.audio("a", 500)
    assert spoken.cut(600, 900) == {"a": HeardContext(400, False)}


def test_a_cut_begins_another_epoch() -> None:
    spoken = SpokenContexts()
    spoken.audio("a", 0)
    spoken.cut(10, 100)
    assert spoken.cut(0, 0) == {}
