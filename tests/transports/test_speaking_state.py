"""When the bot begins and stops to speak, by the playout clock's reports."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import AggregatedTextFrame, Frame, TTSTextFrame
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.transports.speaking_state import QUIET_S, SPEAKING_EVERY_S, SpeakingState


@pytest.fixture
def state() -> SpeakingState:
    """A bot that the pipeline knows to speak since second 10."""
    state = SpeakingState()
    state.played(dry=False, now=10.0)
    assert state.has_begun
    assert state.change(True, 10.0)
    return state


def test_a_change_is_told_once(state: SpeakingState) -> None:
    assert not state.has_begun
    assert not state.change(True, 10.1)
    assert state.change(False, 10.2)
    assert not state.change(False, 10.3)


def test_that_it_goes_on_is_told_at_most_every_so_often(state: SpeakingState) -> None:
    assert not state.goes_on(10.0 + SPEAKING_EVERY_S / 2)
    assert state.goes_on(10.0 + SPEAKING_EVERY_S)
    assert not state.goes_on(10.0 + SPEAKING_EVERY_S * 1.5)
    assert state.goes_on(10.0 + SPEAKING_EVERY_S * 2)


def test_a_bot_that_has_run_dry_does_not_go_on(state: SpeakingState) -> None:
    state.played(dry=True, now=10.5)
    assert not state.goes_on(12.0)


def test_a_bot_that_has_run_dry_is_quiet_after_a_while(state: SpeakingState) -> None:
    state.played(dry=True, now=11.0)
    assert not state.is_quiet(11.0 + QUIET_S - 0.01)
    assert state.is_quiet(11.0 + QUIET_S)


def test_a_timer_that_fires_a_rounding_error_early_is_not_in_vain(state: SpeakingState) -> None:
    state.played(dry=True, now=11.0)
    assert state.quiet_at is not None
    assert state.is_quiet(state.quiet_at - 1e-9)


def test_more_speech_in_time_is_no_silence(state: SpeakingState) -> None:
    state.played(dry=True, now=11.0)
    state.played(dry=False, now=11.1)
    assert not state.is_quiet(20.0)


def test_a_cleared_clock_has_nothing_to_play(state: SpeakingState) -> None:
    state.cleared()
    assert not state.playing
    assert not state.goes_on(12.0)


def test_a_bot_that_was_never_heard_does_not_fall_silent() -> None:
    state = SpeakingState()
    state.played(dry=True, now=1.0)
    assert state.quiet_at is None
    assert not state.has_begun


def sentence(text: str) -> AggregatedTextFrame:
    return AggregatedTextFrame(text, TextType.SENTENCE)


def word(text: str) -> TTSTextFrame:
    return TTSTextFrame(text, TextType.WORD)


@pytest.mark.parametrize(
    ("frames", "asks"),
    [
        ([sentence("It is done.")], False),
        ([sentence("Is that right?")], True),
        ([sentence('"Right?" ')], True),
        ([sentence("Is that right?"), word("Is"), word("that"), word("right")], True),
        ([word("right?")], True),
        ([sentence("Is that right?"), sentence("It is done.")], False),
        ([sentence("Is that right?"), word("Is"), word("done.")], False),
    ],
)
def test_the_last_sentence_says_whether_the_bot_asks(frames: list[Frame], asks: bool) -> None:
    state = SpeakingState()
    for frame in frames:
        state.note(frame)
    assert state.asks is asks
