"""What the caller of a recording did, and what of the bot's each act followed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.capture.format import EventLine
from piopiy_pipeline.testing.replaying.acts import acts_of, speech_in
from tests.support.calls import AUDIO

RATE = 16000
WAV = read_wav(AUDIO / "booking/03-yes.wav", RATE)
BOUNDS = speech_bounds(WAV, RATE)
assert BOUNDS is not None
YES = WAV[slice(*BOUNDS)]


def recording(
    *bot: tuple[float, float],
    speaks: tuple[float, ...] = (),
    keys: float | None = None,
    end: float | None = None,
    held: tuple[float, float, str] | None = None,
) -> CapturedCall:
    """A call in which the bot is heard from and to, and the caller says "yes, please" at some seconds."""
    events = [
        EventLine(at=at, kind=kind, data={"cut": False} if kind == "bot_stopped" else {})
        for stretch in bot
        for at, kind in zip(stretch, ("bot_started", "bot_stopped"), strict=True)
    ]
    if keys is not None:
        events.append(EventLine(at=keys, kind="dtmf", data={"digits": "1"}))
    if end is not None:
        events.append(EventLine(at=end, kind="end", data={"reason": "caller_hangup"}))
    if held is not None:
        events += [EventLine(at=held[0], kind="hold", data={}), EventLine(at=held[1], kind=held[2], data={})]
    pcm = np.zeros(20 * RATE, np.int16)
    for at in speaks:
        pcm[round(at * RATE) : round(at * RATE) + YES.size] = YES
    made: Any = SimpleNamespace(
        events=sorted(events, key=lambda event: event.at), caller=pcm, meta=SimpleNamespace(caller_rate=RATE)
    )
    return cast(CapturedCall, made)


def test_speech_is_found_where_it_is() -> None:
    call = recording(speaks=(2.0, 5.0))
    (first, second) = speech_in(call.caller, RATE)
    assert first == pytest.approx((2.0, 2.0 + YES.size / RATE), abs=0.25)
    assert second[0] - first[0] == pytest.approx(3.0, abs=0.04)
    assert speech_in(np.zeros(RATE, np.int16), RATE) == []


def test_an_answer_follows_the_end_of_the_question() -> None:
    (act,) = acts_of(recording((0.0, 3.0), speaks=(4.0,)))
    assert (act.anchor.after, act.anchor.count) == ("bot_stopped", 1)
    assert act.anchor.delay_s == pytest.approx(1.0, abs=0.15)
    assert "after the bot had finished speaking" in str(act.anchor)


def test_a_barge_in_follows_the_beginning() -> None:
    (act,) = acts_of(recording((1.0, 4.5), speaks=(3.0,)))
    assert act.barges_in
    assert act.anchor.delay_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize(("after", "until"), [("resume", 4.0), ("interruption", 3.4)])
def test_a_sound_for_which_the_bot_held_its_speech_is_anchored_to_that_speech(
    after: str, until: float
) -> None:
    goes_on = [(until + 0.02, 7.0)] if after == "resume" else []
    held = (3.01, until, after)
    sound, answer = acts_of(recording((1.0, 3.0), *goes_on, held=held, speaks=(3.05, 9.0)))
    assert sound.start > 3.0, "it is found behind the silence that it caused"
    assert (sound.anchor.after, sound.anchor.count) == ("bot_started", 1)
    assert sound.anchor.delay_s == pytest.approx(2.05, abs=0.15)
    waited_for = (answer.anchor.after, answer.anchor.count)
    assert waited_for == (("bot_stopped", 0) if after == "resume" else ("act", 1))


def test_a_second_sound_within_one_utterance_is_anchored_to_its_beginning() -> None:
    first, second = acts_of(recording((1.0, 9.0), speaks=(3.0, 6.0)))
    assert (first.anchor.after, first.anchor.count) == ("bot_started", 1)
    assert (second.anchor.after, second.anchor.count) == ("bot_started", 0)
    assert second.anchor.delay_s == pytest.approx(5.0, abs=0.15)
    assert "after the bot had begun to speak" in str(second.anchor)


def test_a_second_answer_of_the_bot_was_waited_for() -> None:
    first, second = acts_of(recording((0.0, 1.0), (3.5, 4.5), (6.0, 8.0), speaks=(1.5, 9.0)))
    assert (first.anchor.after, first.anchor.count) == ("bot_stopped", 1)
    assert (second.anchor.after, second.anchor.count) == ("bot_stopped", 2)
    assert second.anchor.delay_s == pytest.approx(1.0, abs=0.15)
    assert (second.anchor.heard_s, second.anchor.silence_s) == pytest.approx((3.0, 1.5))


def test_what_was_cut_off_is_not_what_was_waited_for() -> None:
    first, second = acts_of(recording((1.0, 3.3), (5.0, 6.0), speaks=(3.0, 7.0)))
    assert first.barges_in
    assert (second.anchor.after, second.anchor.count) == ("bot_stopped", 1)


def test_a_pause_between_two_sentences_of_the_bot_is_no_end() -> None:
    (act,) = acts_of(recording((0.0, 1.0), (1.2, 3.0), speaks=(4.0,)))
    assert act.anchor.count == 1
    assert act.anchor.delay_s == pytest.approx(1.0, abs=0.15)


def test_whoever_speaks_again_into_silence_follows_themselves() -> None:
    first, second = acts_of(recording(speaks=(2.0, 7.0)))
    assert first.anchor.after == "answer"
    assert second.anchor.after == "act"
    assert second.anchor.delay_s == pytest.approx(5.0 - (first.end - first.start), abs=0.15)


def test_a_breath_between_two_words_is_no_end_of_the_utterance() -> None:
    (act,) = acts_of(recording((0.0, 1.0), speaks=(2.0, 2.0 + YES.size / RATE + 0.5)))
    assert act.end - act.start > 1.5 * YES.size / RATE


def test_keys_and_the_end_are_acts_too() -> None:
    speech, keys, hangup = acts_of(recording((0.0, 1.0), (4.0, 5.0), speaks=(2.0,), keys=6.0, end=9.0))
    assert [speech.kind, keys.kind, hangup.kind] == ["speech", "dtmf", "hangup"]
    assert keys.data == {"digits": "1"}
    assert keys.anchor.after == "bot_stopped"
    assert (hangup.anchor.after, hangup.anchor.delay_s) == ("act", 3.0)
