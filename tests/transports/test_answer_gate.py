"""An answer that is kept back: nothing of it passes before it is released, and nothing ever if it is withdrawn."""

from __future__ import annotations

from pipecat.frames.frames import (
    DataFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
)

from piopiy_pipeline.transports.answer_gate import AnswerGate
from piopiy_pipeline.transports.frames import EagerWithdrawnFrame


def answer() -> list[Frame]:
    return [LLMFullResponseStartFrame(), TTSAudioRawFrame(b"\0\0", 16000, 1), LLMFullResponseEndFrame()]


def take(gate: AnswerGate, *frames: Frame) -> list[Frame]:
    return [one for frame in frames for one in gate.take(frame)]


def released(gate: AnswerGate) -> list[Frame]:
    frames = []
    while (frame := gate.next_released()) is not None:
        frames.append(frame)
    return frames


def test_an_open_gate_lets_everything_pass() -> None:
    frames = answer()
    assert take(AnswerGate(), *frames) == frames


def test_an_answer_is_held_and_released_in_order_with_what_comes_meanwhile() -> None:
    gate = AnswerGate()
    gate.hold()
    frames = answer()
    assert take(gate, *frames[:2]) == []
    gate.release()
    assert gate.next_released() is frames[0]
    assert gate.take(frames[2]) == []
    assert released(gate) == frames[1:]
    after = answer()
    assert take(gate, *after) == after


def test_system_frames_pass_a_gate_that_holds() -> None:
    gate = AnswerGate()
    gate.hold()
    frame = UserStoppedSpeakingFrame()
    assert gate.take(frame) == [frame]


def test_the_rest_of_a_withdrawn_answer_is_dropped_until_its_end_and_the_next_is_held() -> None:
    gate = AnswerGate()
    gate.hold()
    first, second = answer(), answer()
    take(gate, first[0])
    other = DataFrame()
    take(gate, other)
    assert gate.withdraw() == [other]
    gate.hold()
    assert take(gate, *first[1:], EagerWithdrawnFrame(), *second) == []
    gate.release()
    assert released(gate) == second


def test_an_answer_that_is_asked_for_after_a_withdrawal_is_heard() -> None:
    gate = AnswerGate()
    gate.hold()
    gate.withdraw()
    dropped, frames = answer(), answer()
    assert take(gate, *dropped, EagerWithdrawnFrame(), *frames) == frames


def test_a_stage_that_swallows_the_withdrawal_does_not_silence_the_bot_for_ever() -> None:
    gate = AnswerGate()
    gate.hold()
    gate.withdraw()
    gate.give_up_waiting()
    frames = answer()
    assert take(gate, *frames) == frames


def test_an_interruption_drops_what_is_held() -> None:
    gate = AnswerGate()
    gate.hold()
    kept = LLMFullResponseEndFrame()
    kept.interruptible = False
    take(gate, *answer(), kept)
    interruption = InterruptionFrame()
    assert gate.take(interruption) == [interruption, kept]
    assert not gate.holds


def test_an_interruption_that_left_before_the_question_cuts_off_what_was_said_before_and_no_answer() -> None:
    gate = AnswerGate()
    interruption = InterruptionFrame()
    gate.hold(earlier=[interruption.id])
    before, frames = answer(), answer()
    assert take(gate, *before, interruption, *frames) == [interruption]
    assert gate.holds
    gate.release()
    assert released(gate) == frames


def test_what_comes_of_an_answer_that_was_cut_off_is_dropped_until_it_is_withdrawn() -> None:
    gate = AnswerGate()
    gate.hold()
    interruption, other = InterruptionFrame(), DataFrame()
    assert take(gate, *answer(), interruption, *answer(), other) == [interruption, other]
    assert gate.is_cut
    gate.withdraw()
    frames = answer()
    assert take(gate, *answer(), EagerWithdrawnFrame(), *frames) == frames


def test_a_turn_that_ends_with_an_answer_that_was_cut_off_opens_the_gate() -> None:
    gate = AnswerGate()
    gate.hold()
    gate.take(InterruptionFrame())
    gate.release()
    frames = answer()
    assert take(gate, *frames) == frames


def test_the_end_waits_for_nothing() -> None:
    gate = AnswerGate()
    gate.hold()
    take(gate, *answer())
    end = EndFrame()
    assert gate.take(end) == [end]
