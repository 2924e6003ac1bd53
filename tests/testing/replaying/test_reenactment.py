"""A recorded caller, once more: when they speak, now that the bot may say something else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from piopiy_pipeline.testing.replaying.acts import Act, Anchor, Stretch
from piopiy_pipeline.testing.replaying.reenactment import Begun, Reenactment

RATE = 1000
FRAME = 0.02
RECORDED = ((0.5, 3.0), (5.5, 6.0))
"""When the bot was heard in the call."""


def reenacted(
    acts: Sequence[Act],
    *bot: tuple[float, float],
    recorded: Sequence[tuple[float, float]] = RECORDED,
    held: tuple[float, float] | None = None,
    until: float = 60.0,
) -> tuple[list[Begun], np.ndarray, float | None]:
    """What begins, what is heard of the caller, and when they hang up, if the bot is heard from and to."""
    pcm = np.full(20 * RATE, 1, np.int16)  # the noise of their line
    for number, act in enumerate(acts):
        if act.kind == "speech":
            pcm[round(act.start * RATE) : round(act.end * RATE)] = 100 * (number + 1)
    caller = Reenactment(acts, pcm, RATE, [Stretch(*each) for each in recorded])
    begun: list[Begun] = []
    heard = b""
    changes = sorted((at, edge) for stretch in bot for edge, at in enumerate(stretch))
    for tick in range(round(until / FRAME)):
        now = tick * FRAME
        while changes and changes[0][0] <= now:
            at, edge = changes.pop(0)
            (caller.bot_started, caller.bot_stopped)[edge](at)
        if held is not None and tick == round(held[0] / FRAME):
            caller.bot_held()
        if held is not None and tick == round(held[1] / FRAME):
            caller.bot_started(now)
        step = caller.step(now, round(FRAME * RATE))
        begun += step.begun
        if step.hang_up:
            return begun, np.frombuffer(heard, np.int16), now
        heard += step.pcm
    return begun, np.frombuffer(heard, np.int16), None


def said(start: float, after: Anchor, length: float = 1.0) -> Act:
    return Act("speech", start, start + length, after)


ANSWER = said(4.0, Anchor("bot_stopped", 1.0))
HANGUP = Act("hangup", 8.0, 8.0, Anchor("bot_stopped", 2.0))


def test_the_same_bot_gets_the_same_call() -> None:
    begun, heard, _ = reenacted([ANSWER, HANGUP], (0.5, 3.0), (5.5, 6.0))
    assert [round(each.at, 2) for each in begun] == [4.0, 8.0]
    assert np.flatnonzero(heard == 100)[0] in range(3980, 4021)
    assert np.count_nonzero(heard == 100) == 1000


def test_in_step_each_sample_comes_at_its_own_time_also_what_is_not_taken_for_speech() -> None:
    acts = [said(4.005, Anchor("bot_stopped", 1.005))]
    pcm = np.arange(20 * RATE, dtype=np.int16)
    caller = Reenactment(acts, pcm, RATE, [Stretch(0.5, 3.0)])
    heard = b""
    for tick in range(500):
        if tick * FRAME == 0.5:
            caller.bot_started(0.5)
        if tick * FRAME == 3.0:
            caller.bot_stopped(3.0)
        step = caller.step(tick * FRAME, round(FRAME * RATE))
        assert all(begun.at == 4.005 for begun in step.begun)
        heard += step.pcm
    assert caller.in_step
    assert (np.frombuffer(heard, np.int16) == pcm[: 10 * RATE]).all()


def test_in_step_what_makes_no_sound_is_done_at_its_own_time_between_two_frames() -> None:
    keys = [Act("dtmf", at, at, Anchor("answer", at), {"digits": "1"}) for at in (0.113, 0.118)]
    caller = Reenactment([*keys, said(0.13, Anchor("act", 0.0))], np.zeros(RATE, np.int16), RATE, [])
    assert caller.silent_act_at(0.08) is None, "a later frame's"
    assert caller.silent_act_at(0.1) == 0.113
    assert (caller.act().at, caller.silent_act_at(0.1)) == (0.113, 0.118)
    assert caller.act().at == 0.118
    assert caller.silent_act_at(0.12) is None, "speech comes with its frame"

    other = Reenactment(keys, np.zeros(RATE, np.int16), RATE, [])
    other.bot_started(0.02)
    other.step(0.04, 20)
    assert not other.in_step
    assert other.silent_act_at(0.1) is None, "out of step it follows the bot"


def test_who_is_out_of_step_stays_so() -> None:
    begun, _, _ = reenacted([ANSWER, HANGUP], (0.5, 3.2), (5.5, 6.0))
    assert [round(each.at, 1) for each in begun] == [4.2, 8.0]


def test_a_longer_answer_does_not_become_a_barge_in() -> None:
    begun, _, _ = reenacted([ANSWER], (0.5, 9.0), until=20)
    assert round(begun[0].at, 2) == 10.0


def test_a_shorter_answer_is_answered_sooner() -> None:
    begun, _, _ = reenacted([ANSWER], (0.5, 1.0), until=20)
    assert round(begun[0].at, 2) == 2.0


def test_a_pause_for_breath_is_not_taken_for_the_end() -> None:
    begun, _, _ = reenacted(
        [said(3.5, Anchor("bot_stopped", 0.1))], (0.5, 3.0), (3.2, 6.0), recorded=[(0.5, 3.4)], until=20
    )
    assert begun[0].at < 3.4, "who answers within 0.1 s cannot know"
    begun, _, _ = reenacted([ANSWER], (0.5, 3.0), (3.5, 6.0), until=20)
    assert round(begun[0].at, 2) == 7.0, "the bot spoke on, before the caller would have"


def test_a_barge_in_comes_as_far_into_the_answer_as_it_did() -> None:
    begun, _, _ = reenacted([said(2.0, Anchor("bot_started", 1.5))], (4.0, 9.0), until=20)
    assert round(begun[0].at, 2) == 5.5


def test_speech_that_is_held_and_goes_on_is_one() -> None:
    sounds = [said(2.0, Anchor("bot_started", 1.5)), said(4.0, Anchor("bot_started", 4.0, 0))]
    answer = said(10.0, Anchor("bot_stopped", 1.0, 0))
    begun, _, _ = reenacted([*sounds, answer], (4.0, 12.0), held=(5.5, 6.5), until=20)
    assert [round(each.at, 2) for each in begun] == [5.5, 8.0, 13.0]


def test_a_bot_that_is_held_when_it_was_held_in_the_call_is_in_step() -> None:
    acts = [said(4.0, Anchor("bot_started", 3.5)), HANGUP]
    for held, in_step in ((4.1, True), (4.5, False)):
        begun, _, _ = reenacted(
            acts, (0.5, 7.0), recorded=[(0.5, 4.1), (5.2, 7.0)], held=(held, held + 1.1), until=20
        )
        assert (begun[1].at == 8.0) == in_step


def test_a_bot_that_says_nothing_is_spoken_to_all_the_same_and_that_is_noted() -> None:
    begun, _, _ = reenacted([ANSWER], until=30)
    assert 8.0 <= begun[0].at <= 8.6
    assert "1.0 s after the bot had finished speaking" in begun[0].in_vain


def test_who_hung_up_because_nobody_spoke_does_so_after_the_same_silence() -> None:
    hangup = Act("hangup", 21.0, 21.0, Anchor("bot_stopped", 15.0, 2))
    begun, _, at = reenacted([hangup], (0.8, 3.5))  # what was two pieces with a pause is one today
    assert at is not None
    assert abs(at - 18.5) <= FRAME
    assert [each.in_vain for each in begun] == [""]
    begun, _, at = reenacted([hangup], (0.8, 3.5), (12.0, 13.0))  # the silence begins anew
    assert at is not None
    assert abs(at - 28.0) <= FRAME


BEHIND_A_PAUSE = said(7.0, Anchor("bot_stopped", 1.0, 2, heard_s=3.0, silence_s=2.5))
"""What the caller said when the bot had spoken for 2.5 s, had been silent for 2.5 s, and had said "Done." in 0.5 s."""
LATE_BARGE_IN = said(20.5, Anchor("bot_started", 20.0, heard_s=20.0))


@pytest.mark.parametrize(
    ("act", "bot", "at", "now"),
    [
        (BEHIND_A_PAUSE, [(1.0, 4.0)], 5.0, ""),
        (BEHIND_A_PAUSE, [(1.0, 2.0), (2.5, 4.6)], 5.6, ""),
        (BEHIND_A_PAUSE, [(1.0, 3.0)], 8.5, "spoke once, and was silent for"),
        (BEHIND_A_PAUSE, [(1.0, 3.0), (7.0, 9.0)], 10.0, ""),
        (said(9.0, Anchor("bot_stopped", 5.0, 2, 3.0, 0.5)), [(1.0, 2.0)], 7.0, ""),
        (said(9.0, Anchor("bot_stopped", 1.0, 3, 3.0, 0.5)), [(1.0, 2.0), (2.5, 3.0)], 6.5, "spoke 2 times"),
        (LATE_BARGE_IN, [(1.0, 4.0)], 7.0, "spoke once, and was silent for"),
        (LATE_BARGE_IN, [(1.0, 4.0), (6.0, 30.0)], 21.0, ""),
        (LATE_BARGE_IN, [], 8.0, "said nothing"),
        (said(8.0, Anchor("bot_started", 1.0, 2, 3.0, 1.0)), [(1.0, 9.0)], 13.0, "spoke once"),
    ],
    ids=[
        "two in one",
        "two otherwise divided",
        "the second is gone",
        "the second comes later",
        "silent for longer than the pause",
        "the third is gone",
        "a barge-in into what is shorter",
        "a barge-in behind a new pause",
        "a barge-in into nothing",
        "a barge-in into the second",
    ],
)
def test_who_waits_for_what_the_bot_does_not_say_any_more_goes_on_when_its_silence_says_so(
    act: Act, bot: list[tuple[float, float]], at: float, now: str
) -> None:
    begun, _, _ = reenacted([act], *bot, until=40)
    assert begun[0].at == pytest.approx(at, abs=0.31), "a word's lead, at most"
    assert now in begun[0].in_vain
    assert bool(now) == bool(begun[0].in_vain)


def test_an_answer_to_the_speech_that_a_sound_fell_into_keeps_its_distance_from_a_late_sound() -> None:
    sound = said(3.5, Anchor("bot_started", 3.0, heard_s=3.0), length=0.5)
    again = said(5.0, Anchor("bot_started", 4.5, 0), length=0.5)
    answer = said(9.0, Anchor("bot_stopped", 1.0, 0))
    begun, _, _ = reenacted([sound, again, answer], (0.5, 1.0), recorded=[(0.5, 8.0)], until=30)
    assert [each.at for each in begun] == pytest.approx([3.5, 5.0, 6.5], abs=0.05)
    sound = said(3.5, Anchor("bot_started", 0.5, 2, heard_s=1.0), length=0.5)
    again = said(4.5, Anchor("bot_started", 1.5, 0), length=0.5)
    begun, _, _ = reenacted([sound, again], (0.5, 1.0), recorded=[(0.5, 1.0), (3.0, 8.0)], until=30)
    assert begun[1].at - begun[0].at == pytest.approx(1.0, abs=0.05)


def test_the_noise_of_the_line_fills_the_longer_wait() -> None:
    _, heard, _ = reenacted([ANSWER], (0.5, 12.0), until=20)
    assert (heard[: 12 * RATE] == 1).all()


def test_a_bot_that_does_not_hang_up_is_hung_up_on() -> None:
    _, _, hung_up = reenacted([ANSWER], (0.5, 3.0), (5.5, 6.0))
    assert hung_up is not None
    assert 20.0 < hung_up < 27.0


def test_a_bot_that_never_stops_speaking_is_cut_off_at_last() -> None:
    begun, _, _ = reenacted([ANSWER], (0.5, 1000.0), until=200)
    assert begun[0].in_vain == "the bot did not stop speaking"
