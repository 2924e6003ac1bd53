"""What interrupts the bot and what does not, by sounds, words and time."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.turns.barge_in_policy import BargeInPolicy, BargeInVerdict

WINDOW = 0.032


def sounding(policy: BargeInPolicy, begin: float, seconds: float) -> float:
    """Make a sound of so many seconds. Returns when it was over."""
    policy.begin(begin, voiced_s=2 * WINDOW)
    return sounding_on(policy, begin, seconds - 2 * WINDOW)


def sounding_on(policy: BargeInPolicy, now: float, seconds: float) -> float:
    """Go on with the sound for so many seconds. Returns when it was over."""
    for _ in range(round(seconds / WINDOW)):
        now += WINDOW
        policy.window(now, WINDOW, voiced=True)
    return now


def decided(policy: BargeInPolicy, now: float, *, until: float = 5.0) -> tuple[BargeInVerdict, float]:
    """Return what silence from `now` on decides, and when."""
    while now < until:
        if (decision := policy.decide(now)) is not None:
            return decision.verdict, now
        now += WINDOW
        policy.window(now, WINDOW, voiced=False)
    raise AssertionError("it was never decided")


@pytest.mark.parametrize("seconds", [0.07, 0.2, 0.4, 0.6])
def test_a_short_sound_lets_the_bot_go_on(seconds: float) -> None:
    policy = BargeInPolicy()
    over = sounding(policy, 1.0, seconds)
    verdict, at = decided(policy, over)
    assert verdict is BargeInVerdict.RESUME
    assert at >= 1.3 - 0.002
    assert at - over <= 0.33


LOUD = 0.01


def after_a_cough(*then: tuple[float, bool]) -> tuple[BargeInVerdict, float]:
    """Cough until 1.3 s, be quiet for five windows, and then so loud, voiced or not, in each window. Return what is
    decided, and how long after the beginning.
    """
    policy = BargeInPolicy()
    now = 1.0
    policy.begin(now, voiced_s=2 * WINDOW, power=LOUD)
    windows = [(LOUD, True)] * 7 + [(0.0, False)] * 5 + [*then] + [(0.0, False)] * 20
    for power, voiced in windows:
        now += WINDOW
        policy.window(now, WINDOW, voiced=voiced, power=power)
        if (decision := policy.decide(now)) is not None:
            return decision.verdict, now - 1.0
    raise AssertionError("it was never decided")


def test_the_bot_does_not_go_on_into_the_second_burst_of_a_cough() -> None:
    _, alone_s = after_a_cough()
    verdict, at_s = after_a_cough(*[(LOUD, False)] * 3, *[(LOUD, True)] * 4)
    assert alone_s == pytest.approx(14 * WINDOW, abs=0.001), "0.2 s after its last voiced window"
    assert verdict is BargeInVerdict.RESUME
    assert at_s == pytest.approx(26 * WINDOW, abs=0.001), "the same, after the second burst"


@pytest.mark.parametrize(
    ("then", "later_windows"),
    [
        ([(LOUD / 8, False)] * 20, 0),
        ([(LOUD, False)] * 20, 4),
        ([(LOUD, False)] * 2 + [(0.0, False)] + [(LOUD, False)] * 20, 1),
    ],
    ids=["softer", "a noise goes on", "a noise comes and goes"],
)
def test_what_is_no_second_burst_keeps_the_bot_silent_for_a_moment_at_most(
    then: list[tuple[float, bool]], later_windows: int
) -> None:
    _, alone_s = after_a_cough()
    verdict, at_s = after_a_cough(*then)
    assert verdict is BargeInVerdict.RESUME
    assert at_s - alone_s == pytest.approx(later_windows * WINDOW, abs=0.001)


def test_a_noise_that_was_there_all_the_time_changes_nothing() -> None:
    policy = BargeInPolicy()
    policy.begin(1.0, voiced_s=2 * WINDOW, power=LOUD)
    now = 1.0
    while (decision := policy.decide(now)) is None:
        now += WINDOW
        policy.window(now, WINDOW, voiced=now < 1.2, power=LOUD)
    assert decision.verdict is BargeInVerdict.RESUME
    assert now - 1.2 < 0.25


def test_a_sound_that_the_vad_took_for_speech_is_waited_for_a_little_longer() -> None:
    policy = BargeInPolicy()
    policy_over = sounding(policy, 1.0, 0.4)
    policy.speech()
    verdict, at = decided(policy, policy_over)
    assert verdict is BargeInVerdict.RESUME
    assert 0.34 < at - policy_over < 0.4
    assert at - 1.0 < 0.75


def test_who_speaks_on_interrupts_without_any_words() -> None:
    policy = BargeInPolicy()
    policy.begin(1.0)
    now = 1.0
    while (decision := policy.decide(now)) is None:
        now += WINDOW
        policy.window(now, WINDOW, voiced=True)
    assert decision.verdict is BargeInVerdict.INTERRUPT
    assert 1.75 < now - 1.0 < 1.85


def test_who_speaks_on_interrupts_as_soon_as_a_word_so_far_is_no_listeners() -> None:
    policy = BargeInPolicy()
    over = sounding(policy, 1.0, 0.9)
    assert policy.interim("I want") is None
    assert policy.decide(over) is None
    over = sounding_on(policy, over, 0.25)
    decision = policy.decide(over)
    assert decision is not None
    assert decision.verdict is BargeInVerdict.INTERRUPT


@pytest.mark.parametrize("interim", ["Yeah, okay,", "And then", "Amen,", "Bright,"])
def test_a_listener_who_says_much_is_waited_for(interim: str) -> None:
    policy = BargeInPolicy()
    over = sounding(policy, 1.0, 1.5)
    assert policy.interim(interim) is None
    assert policy.decide(over) is None
    assert policy.final("Yeah, okay, right.", confidence=0.6).verdict is BargeInVerdict.RESUME


def test_it_is_decided_in_any_case() -> None:
    policy = BargeInPolicy()
    policy.begin(1.0)
    now = 1.0
    while (decision := policy.decide(now)) is None:
        now += WINDOW
        policy.window(now, WINDOW, voiced=round(now / WINDOW) % 3 == 0)
    assert now - 1.0 <= 2.3 + WINDOW
    assert decision.verdict is BargeInVerdict.RESUME


@pytest.mark.parametrize(
    ("text", "voiced_s", "confidence", "verdict"),
    [
        ("No, wait.", 0.6, 0.5, BargeInVerdict.INTERRUPT),
        ("Stop!", 0.3, 0.6, BargeInVerdict.INTERRUPT),
        ("Stop!", 0.3, 0.3, BargeInVerdict.RESUME),
        ("Mhm.", 0.4, 0.9, BargeInVerdict.RESUME),
        ("Yeah, okay.", 1.5, 0.9, BargeInVerdict.RESUME),
        ("Yeah, but on Friday.", 1.0, 0.9, BargeInVerdict.INTERRUPT),
        ("And then,", 0.5, 0.94, BargeInVerdict.RESUME),
        ("Saturday.", 0.5, 0.85, BargeInVerdict.INTERRUPT),
        ("Saturday.", 0.7, 0.7, BargeInVerdict.INTERRUPT),
        ("And an image and an image, an image.", 0.6, 0.7, BargeInVerdict.RESUME),
        ("I did not order that.", 0.9, 0.7, BargeInVerdict.INTERRUPT),
        ("Saturday.", 0.3, 0.3, BargeInVerdict.RESUME),
        ("I want to talk to a person.", 1.4, 0.1, BargeInVerdict.INTERRUPT),
        ("...", 0.3, 0.9, BargeInVerdict.RESUME),
    ],
)
def test_words_decide(text: str, voiced_s: float, confidence: float, verdict: BargeInVerdict) -> None:
    policy = BargeInPolicy()
    sounding(policy, 1.0, voiced_s)
    assert policy.final(text, confidence=confidence).verdict is verdict


def test_who_was_not_believed_and_says_more_is_heard_as_one() -> None:
    def second(gap_s: float) -> BargeInVerdict:
        policy = BargeInPolicy()
        over = sounding(policy, 1.0, 0.5)
        assert policy.final("It helps.", confidence=0.3).verdict is BargeInVerdict.RESUME
        policy.end()
        sounding(policy, over + gap_s, 0.5)
        return policy.final("Thank you.", confidence=0.43).verdict

    assert second(0.6) is BargeInVerdict.INTERRUPT
    assert second(3.0) is BargeInVerdict.RESUME


def test_words_without_a_sound_and_without_a_confidence_are_believed() -> None:
    assert BargeInPolicy().final("Saturday").verdict is BargeInVerdict.INTERRUPT


def test_a_yeah_at_the_end_of_a_question_is_an_answer() -> None:
    policy = BargeInPolicy()
    sounding(policy, 1.0, 0.4)
    assert policy.final("Yeah.", bot_left_s=0.6).verdict is BargeInVerdict.INTERRUPT
    assert policy.final("Friday.", confidence=0.2, bot_left_s=0.6).verdict is BargeInVerdict.INTERRUPT
    assert policy.final("...", bot_left_s=0.6).verdict is BargeInVerdict.RESUME
    assert policy.final("Yeah.", bot_left_s=0.6, bot_asks=False).verdict is BargeInVerdict.RESUME
    assert policy.final("Friday.", bot_left_s=0.6, bot_asks=False).verdict is BargeInVerdict.INTERRUPT
    assert policy.final("Yeah.", bot_left_s=5.0).verdict is BargeInVerdict.RESUME
    assert policy.final("Yeah.", bot_left_s=None).verdict is BargeInVerdict.RESUME


def test_words_that_come_after_the_bot_has_gone_on_still_count() -> None:
    policy = BargeInPolicy()
    over = sounding(policy, 1.0, 0.5)
    verdict, _ = decided(policy, over)
    policy.end()
    assert verdict is BargeInVerdict.RESUME
    assert policy.final("Five people.", confidence=0.8).verdict is BargeInVerdict.INTERRUPT


def test_an_interim_is_believed_when_the_sound_is_long_enough() -> None:
    policy = BargeInPolicy()
    sounding(policy, 1.0, 0.4)
    assert policy.interim("And he came") is None
    policy.end()
    sounding(policy, 3.0, 0.8)
    assert policy.interim("I want to book") is None, "the bot is silent: there is time"
    policy.end()
    assert policy.interim("yeah yeah") is None
    assert policy.interim("I want") is None
    assert policy.interim("I want to book") is not None


def test_the_language_is_the_transcripts_own() -> None:
    policy = BargeInPolicy()
    sounding(policy, 1.0, 0.4)
    assert policy.final("Genau.", language="de-DE").verdict is BargeInVerdict.RESUME
    assert policy.final("Genau.").verdict is BargeInVerdict.INTERRUPT
    assert BargeInPolicy(language="de").final("Nein, warte.").verdict is BargeInVerdict.INTERRUPT


@pytest.mark.parametrize(
    "times", [{"earliest_s": 0.8, "latest_s": 0.7}, {"latest_s": 2.6}, {"speech_s": 0.0}, {"earliest_s": 0.0}]
)
def test_times_that_cannot_work_are_refused(times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="_s"):
        BargeInPolicy(**times)


@pytest.mark.parametrize(
    ("options", "voiced_s", "least_s", "most_s"),
    [
        ({"earliest_s": 0.8}, 0.2, 0.8, 0.84),  # instead of 0.4
        ({"quiet_s": 0.5}, 0.2, 0.62, 0.7),
    ],
)
def test_an_author_says_when_a_sound_counts_as_none_of_speech(
    options: dict[str, float], voiced_s: float, least_s: float, most_s: float
) -> None:
    policy = BargeInPolicy(**options)  # type: ignore[arg-type]  # all of these are numbers
    over = sounding(policy, 1.0, voiced_s)
    verdict, at = decided(policy, over)
    assert verdict is BargeInVerdict.RESUME
    assert least_s - 0.002 <= at - 1.0 <= most_s


def test_an_author_says_by_when_it_is_decided() -> None:
    policy = BargeInPolicy(latest_s=0.5)
    over = sounding(policy, 1.0, 0.45)
    verdict, at = decided(policy, over)
    assert verdict is BargeInVerdict.INTERRUPT  # of a sound that may go on
    assert 0.49 < at - 1.0 < 0.54


def test_an_author_says_how_long_a_sound_is_speech_whatever_its_words() -> None:
    policy = BargeInPolicy(speech_s=0.5)
    sounding(policy, 1.0, 0.6)
    decision = policy.decide(1.6)
    assert decision is not None
    assert decision.verdict is BargeInVerdict.INTERRUPT


def test_an_author_says_how_long_words_are_waited_for() -> None:
    policy = BargeInPolicy(words_s=0.6)
    over = sounding(policy, 1.0, 0.4)
    policy.speech()
    assert 0.59 < decided(policy, over)[1] - over < 0.65


def test_an_author_says_from_when_a_yes_answers_a_bot_that_has_nearly_ended() -> None:
    def verdict(**options: float) -> BargeInVerdict:
        policy = BargeInPolicy(**options)  # type: ignore[arg-type]  # a number
        sounding(policy, 1.0, 0.4)
        return policy.final("Yeah.", bot_left_s=1.5).verdict

    assert verdict() is BargeInVerdict.RESUME
    assert verdict(answer_s=2.0) is BargeInVerdict.INTERRUPT
