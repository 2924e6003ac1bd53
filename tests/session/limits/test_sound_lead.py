"""Who is too far ahead of what can have been heard waits, and nobody else. The time is a parameter."""

from __future__ import annotations

from piopiy_pipeline.session.limits.sound_lead import SoundLead


def push(lead: SoundLead, seconds: float, now: float) -> float:
    lead.left_s -= seconds
    return lead.wait_s(now) if lead.left_s < 0 else 0.0


def test_sound_up_to_the_limit_passes_and_more_waits_until_it_can_have_been_heard() -> None:
    lead = SoundLead(30, 0.0)
    assert push(lead, 30, 0.0) == 0.0
    assert push(lead, 5, 0.0) == 5.0
    assert lead.wait_s(4.0) == 1.0
    assert lead.wait_s(5.0) == 0.0
    assert push(lead, 1, 5.0) == 1.0


def test_sound_in_real_time_never_waits() -> None:
    lead = SoundLead(30, 0.0)
    assert not any(push(lead, 0.02, at / 50) for at in range(500_000))


def test_what_a_stage_passes_on_counts_for_nothing() -> None:
    lead = SoundLead(30, 0.0)
    for _ in range(100_000):
        lead.given(1)
        assert push(lead, 1, 0.0) == 0.0


def test_after_an_interruption_a_stage_begins_anew() -> None:
    lead = SoundLead(30, 0.0)
    assert push(lead, 130, 0.0) == 100.0
    lead.begin_anew()
    assert push(lead, 30, 0.0) == 0.0


def test_a_long_silence_lets_a_stage_be_ahead_no_more_than_twice_as_far() -> None:
    lead = SoundLead(30, 0.0)
    assert push(lead, 31, 1e6) == 0.0
    assert push(lead, 31, 1e6) == 1.0
