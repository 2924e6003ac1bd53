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


# ------------------------------------------------------------------ holds


def playing(ledger: SpeechLedger[str], total_ms: int = 2000, heard_ms: int = 400) -> None:
    ledger.audio(ms(total_ms), 0.0)
    ledger.played(0, samples(heard_ms), False, heard_ms / 1000)


def test_speech_that_is_held_stands_still(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    assert ledger.hold(0.5) == 0
    assert ledger.held
    assert ledger.estimate(0.5) == pytest.approx(samples(500), abs=1)
    assert ledger.estimate(5.0) == ledger.estimate(0.5)
    assert ledger.audio(ms(1000), 5.0) == [], "nothing makes room for more"
    assert ledger.hold(0.6) is None, "it is held already"


def test_the_answer_to_a_hold_says_what_was_heard(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.item("hello", 0.4, position=samples(460))
    ledger.item("world", 0.4, position=samples(490))
    ledger.hold(0.5)
    assert ledger.hold_answered(0, samples(480)) == ["hello"]
    assert ledger.heard == samples(480)


def test_it_goes_on_from_where_it_was_held(ledger: SpeechLedger[str]) -> None:
    playing(ledger, 800)
    ledger.hold(0.5)
    ledger.hold_answered(0, samples(480))
    position, messages = ledger.resume(2.0)
    assert position is None
    assert not ledger.held
    assert ledger.estimate(2.1) == samples(580)
    assert messages == []
    assert ledger.played(0, samples(800), True, 3.6)[1] == []
    assert ledger.settled


def test_what_is_said_again_was_heard_before(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.item("word", 0.4, position=samples(450))
    ledger.hold(0.5)
    assert ledger.hold_answered(0, samples(480)) == ["word"]
    assert ledger.resume(2.0, samples(450))[0] == samples(450)
    assert ledger.estimate(2.02) == samples(480)
    assert ledger.estimate(2.1) == samples(550)
    assert ledger.played(0, samples(460), False, 2.01)[1] == [], "the word is told once"
    assert ledger.heard == samples(480)
    assert ledger.estimate(2.06) == samples(510)


@pytest.mark.parametrize("position", [samples(480), samples(2000), -1])
def test_a_position_that_is_not_before_the_hold_is_the_hold(ledger: SpeechLedger[str], position: int) -> None:
    playing(ledger)
    ledger.hold(0.5)
    ledger.hold_answered(0, samples(480))
    assert ledger.resume(2.0, position)[0] is None


def test_without_an_answer_nothing_is_said_again(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.hold(0.5)
    assert ledger.resume(0.6, samples(100))[0] is None
    assert not ledger.held


def test_a_playout_that_goes_on_by_itself_ends_the_hold(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.hold(0.5)
    ledger.played(0, samples(520), False, 0.52)  # on its way before the hold came there
    assert ledger.held
    ledger.hold_answered(0, samples(540))
    ledger.played(0, samples(560), False, 2.5)
    assert not ledger.held
    assert ledger.estimate(2.6) == samples(660)


def test_an_interruption_of_what_is_held_leaves_what_was_heard(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.item("hello", 0.4, position=samples(460))
    ledger.item("late", 0.4, position=samples(700))
    ledger.hold(0.5)
    ledger.hold_answered(0, samples(480))
    assert ledger.interrupt() == 1
    cut = ledger.cut(samples(480), 1.0)
    assert (cut.position, cut.due, cut.dropped) == (samples(480), [], ["late"])
    assert not ledger.held
    assert ledger.hold(2.0) == 1


def test_a_hold_of_nothing_is_interrupted_too(ledger: SpeechLedger[str]) -> None:
    """It would keep the next answer from being heard."""
    playing(ledger, 400, 400)
    ledger.played(0, samples(400), True, 0.4)
    assert ledger.hold(0.5) == 0
    assert ledger.interrupt() == 1


def test_a_playout_that_had_run_dry_is_waited_for_no_longer(ledger: SpeechLedger[str]) -> None:
    playing(ledger, 400, 400)
    ledger.played(0, samples(400), True, 0.4)
    ledger.hold(0.5)
    ledger.hold_answered(0, samples(400))
    ledger.resume(1.0)
    assert ledger.resting
    ledger.item("end", 1.0)
    assert ledger.take_due() == ["end"]


def test_while_it_is_cleared_nothing_is_held(ledger: SpeechLedger[str]) -> None:
    playing(ledger)
    ledger.interrupt()
    assert ledger.hold(0.5) is None


def test_what_must_not_be_interrupted_is_known_by_its_place(ledger: SpeechLedger[str]) -> None:
    ledger.audio(ms(300), 0.0)
    ledger.audio(ms(300), 0.0, interruptible=False)
    ledger.audio(ms(300), 0.0)
    ledger.played(0, samples(100), False, 0.1)
    assert [ledger.spares(at) for at in (0.1, 0.35, 0.59, 0.65)] == [False, True, True, False]
