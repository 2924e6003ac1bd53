"""The ledger of a call's outgoing speech: what is sent, what is due, what an interruption leaves."""

from __future__ import annotations

import pytest

from piopiy_pipeline.transports.ledger import SpeechLedger

RATE = 8000


def ms(n: int) -> bytes:
    """So many milliseconds of silence."""
    return bytes(RATE * n // 1000 * 2)


def samples(n_ms: int) -> int:
    return RATE * n_ms // 1000


def length_ms(messages: list[bytes]) -> int:
    return sum(len(m) for m in messages) // 2 * 1000 // RATE


@pytest.fixture
def ledger() -> SpeechLedger[str]:
    return SpeechLedger(RATE, lead_ms=1000, chunk_ms=200)


def test_the_first_audio_goes_out_at_once_however_short(ledger: SpeechLedger[str]) -> None:
    assert length_ms(ledger.audio(ms(20), 0.0)) == 20


def test_no_more_than_the_lead_is_under_way(ledger: SpeechLedger[str]) -> None:
    assert length_ms(ledger.audio(ms(5000), 0.0)) == 1000
    assert ledger.waiting == samples(4000)


def test_what_was_played_makes_room_for_more(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(5000), 0.0)
    messages, _ = ledger.played(0, samples(400), False, 0.4)
    assert length_ms(messages) == 400


def test_an_item_is_due_when_everything_before_it_was_heard(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(400), 0.0)
    ledger.item("end of the response", 0.0)
    assert ledger.played(0, samples(200), False, 0.2)[1] == []
    assert ledger.played(0, samples(400), True, 0.4)[1] == ["end of the response"]
    assert ledger.settled


def test_words_are_due_at_their_own_place_in_the_audio(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(600), 0.0)
    ledger.item("world", 0.0, position=samples(300))
    ledger.item("hello", 0.0, position=samples(0) + 1)
    assert ledger.played(0, samples(100), False, 0.1)[1] == ["hello"]
    assert ledger.played(0, samples(320), False, 0.3)[1] == ["world"]


def test_a_word_beyond_the_audio_is_due_when_nothing_is_left_to_play(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(200), 0.0)
    ledger.item("late", 0.0, position=samples(900))
    ledger.item("end", 0.0)
    assert ledger.played(0, samples(200), True, 0.2)[1] == ["late", "end"]


def test_the_end_of_speech_is_flushed_although_it_fills_no_chunk(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(200), 0.0)
    assert ledger.audio(ms(50), 0.0) == []
    assert length_ms(ledger.item("end", 0.0)) == 50


def test_an_interruption_of_silence_needs_no_clear(ledger: SpeechLedger[str]) -> None:
    assert ledger.interrupt() is None
    ledger.audio(ms(200), 0.0)
    ledger.played(0, samples(200), True, 0.2)
    assert ledger.interrupt() is None


def test_an_interruption_tells_what_was_heard_and_drops_the_rest(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(1000), 0.0)
    ledger.item("one", 0.0, position=samples(100))
    ledger.item("two", 0.0, position=samples(500))
    ledger.item("end", 0.0)
    assert ledger.interrupt() == 1
    assert ledger.audio(ms(100), 0.3) == [], "nothing is sent until the clear is answered"
    cut = ledger.cut(samples(300), 0.3)
    assert (cut.position, cut.due, cut.dropped) == (samples(300), ["one"], ["two", "end"])
    assert ledger.settled
    assert ledger.queued == 0


def test_a_report_of_the_cleared_epoch_changes_nothing(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(1000), 0.0)
    ledger.interrupt()
    ledger.cut(samples(300), 0.3)
    ledger.audio(ms(200), 0.4)
    ledger.item("new", 0.4)
    assert ledger.played(0, samples(1000), True, 0.4) == ([], [])
    assert ledger.played(1, samples(200), True, 0.7)[1] == ["new"]


def test_speech_that_must_not_be_interrupted_is_said_on_from_where_it_was(ledger: SpeechLedger[str]) -> None:
    pcm = bytes(range(256)) * (samples(400) * 2 // 256)
    ledger.audio(pcm, 0.0, interruptible=False)
    ledger.item("word", 0.0, position=samples(300), interruptible=False)
    ledger.item("end", 0.0, interruptible=False)
    ledger.audio(ms(400), 0.0)
    ledger.item("chatter", 0.0)
    ledger.interrupt()
    cut = ledger.cut(samples(100), 0.1)
    assert b"".join(cut.resend) == pcm[samples(100) * 2 :]
    assert (cut.kept, cut.dropped) == (["word", "end"], ["chatter"])
    assert ledger.played(1, samples(210), False, 0.3)[1] == ["word"]
    assert ledger.played(1, samples(300), True, 0.4)[1] == ["end"]


def test_uninterruptible_speech_that_was_heard_is_not_said_again(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(200), 0.0, interruptible=False)
    ledger.audio(ms(800), 0.0)
    ledger.played(0, samples(400), False, 0.4)
    ledger.interrupt()
    assert ledger.cut(samples(420), 0.4).resend == []


def test_the_estimate_runs_with_the_clock_and_never_past_what_was_sent(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(400), 0.0)
    assert ledger.estimate(5.0) == 0, "nothing was reported yet"
    ledger.played(0, samples(100), False, 1.0)
    assert ledger.estimate(1.1) == samples(200)
    assert ledger.estimate(9.0) == samples(400)


def test_a_gateway_that_stands_still_is_not_sent_more_than_it_holds(ledger: SpeechLedger[str]) -> None:
    sent = ledger.audio(ms(100), 0.0)
    ledger.played(0, samples(20), False, 0.0)
    for n in range(1, 200):  # speech goes on being made for 20 s, and nothing is reported
        sent += ledger.audio(ms(100), n / 10)
    assert length_ms(sent) <= 1000 + 1000, "the lead, and the second for which a report may be late"


def test_half_a_sample_is_refused(ledger: SpeechLedger[str]) -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        ledger.audio(bytes(3), 0.0)


def test_what_comes_behind_the_last_report_waits_for_no_other(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(200), 0.0)
    ledger.item("text", 0.0)
    assert ledger.played(0, samples(200), True, 0.2)[1] == ["text"]
    ledger.item("late", 0.2)
    ledger.item("word", 0.2, position=samples(100))
    assert ledger.take_due() == ["word", "late"]
    assert ledger.settled


def test_what_comes_behind_speech_that_still_plays_waits_for_its_end(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(200), 0.0)
    ledger.played(0, samples(200), False, 0.2)
    ledger.item("late", 0.2)
    assert ledger.take_due() == []
    assert ledger.played(0, samples(200), True, 0.22)[1] == ["late"]


def test_a_word_ahead_of_its_audio_waits_for_it_unless_speech_has_ended(ledger: SpeechLedger[str]) -> None:
    ledger.item("ahead", 0.0, position=samples(0) + 1)
    assert ledger.take_due() == []
    ledger.audio(ms(200), 0.0)
    assert ledger.played(0, samples(200), True, 0.2)[1] == ["ahead"]
    ledger.item("beyond", 0.2, position=samples(900))
    ledger.item("stopped", 0.2)
    assert ledger.take_due() == []
    assert ledger.take_due(ended=True) == ["beyond", "stopped"]


def test_what_is_kept_of_speech_that_was_cut_off_waits_for_nobody(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(400), 0.0)
    ledger.item("end", 0.0)
    ledger.item("keys", 0.0, interruptible=False)
    ledger.interrupt()
    cut = ledger.cut(samples(100), 0.2)
    assert (cut.dropped, cut.kept, cut.resend) == (["end"], ["keys"], [])
    assert ledger.take_due() == ["keys"]
    assert ledger.settled
