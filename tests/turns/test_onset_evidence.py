"""Evidence of speech is summed: quick on speech, slow on what only looks a little like it."""

from __future__ import annotations

from piopiy_pipeline.turns.onset_evidence import OnsetEvidence


def windows_until(evidence: OnsetEvidence, probabilities: list[float]) -> int | None:
    return next((n for n, p in enumerate(probabilities, 1) if evidence.window(p)), None)


def test_one_certain_window_is_enough_and_half_of_one_is_not() -> None:
    assert windows_until(OnsetEvidence(), [0.95]) == 1
    assert windows_until(OnsetEvidence(), [0.6] * 3) == 2


def test_a_window_that_is_none_does_not_begin_the_count_anew() -> None:
    assert windows_until(OnsetEvidence(), [0.7, 0.1, 0.7]) == 3


def test_what_stays_below_the_bias_never_adds_up() -> None:
    assert windows_until(OnsetEvidence(), [0.2] * 1000) is None
    assert windows_until(OnsetEvidence(), [0.25] * 1000) is None, "the leak takes what is little"


def test_it_says_so_once_for_each_sound() -> None:
    evidence = OnsetEvidence()
    said = [evidence.window(p) for p in [0.9] * 10 + [0.0] * 30 + [0.9] * 10]
    assert sum(said) == 2


def test_after_a_sound_that_was_none_it_is_more_cautious_for_some_seconds() -> None:
    evidence = OnsetEvidence()
    assert evidence.window(0.95)
    evidence.was_none()
    assert windows_until(evidence, [0.95] * 5) == 2
    for _ in range(10):
        evidence.was_none()
    assert windows_until(evidence, [0.95] * 9) == 5, "there is a limit to caution"
    for _ in range(1000):
        evidence.window(0.0)
    assert windows_until(evidence, [0.95]) == 1
