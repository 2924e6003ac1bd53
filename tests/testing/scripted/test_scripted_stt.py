"""The scripted STT as a stage: interims while the caller speaks, one final, and what it makes of the VAD."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.testing.line.spoken_words import SpokenWords
from piopiy_pipeline.testing.scripted.faults import Stalls
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT, Transcripts
from piopiy_pipeline.testing.stage.run_stage import At, run_stage
from piopiy_pipeline.testing.stage.stage_run import StageRun
from tests.support.services import ScriptedSTT as PlainSTT

SENTENCE = "a table for four people please"


def started(at: float) -> At:
    return At(at, VADUserStartedSpeakingFrame(start_secs=0.1))


def stopped(at: float) -> At:
    return At(at, VADUserStoppedSpeakingFrame(stop_secs=0.2))


def transcribe(
    *vad: At, said: tuple[float, float] = (1.0, 3.0), until: float = 6.0, **script: Any
) -> StageRun:
    """The caller says the sentence in this stretch; the VAD says what it says."""

    def make() -> ScriptedSTT:
        began = asyncio.get_running_loop().time()
        words = SpokenWords()
        words.add(*said, SENTENCE)
        return ScriptedSTT(Transcripts(**script), spoken=lambda start, end: words(start - began, end - began))

    return run_stage(make, [*vad, At(until, VADUserStoppedSpeakingFrame())])


def finals(run: StageRun) -> list[str]:
    return [frame.text for frame in run.of(TranscriptionFrame)]


def test_one_final_follows_the_end_of_speech_by_the_latency() -> None:
    run = transcribe(started(1.1), stopped(3.2), latency=0.5)
    assert finals(run) == [SENTENCE]
    assert run.at(TranscriptionFrame) == pytest.approx(3.5)


def test_a_transcript_never_comes_before_the_vads_stop() -> None:
    run = transcribe(started(1.1), stopped(3.2), latency=0.05)
    assert run.at(TranscriptionFrame) == pytest.approx(3.2)


def test_interims_grow_while_the_caller_speaks() -> None:
    run = transcribe(started(1.1), stopped(3.2), interim_s=0.5)
    interims = [frame.text for frame in run.of(InterimTranscriptionFrame)]
    assert len(interims) == 4
    assert all(SENTENCE.startswith(text) for text in interims)
    assert interims == sorted(interims, key=len)


def test_without_interims_there_are_none() -> None:
    assert transcribe(started(1.1), stopped(3.2), interim_s=None).of(InterimTranscriptionFrame) == []


def test_the_final_is_marked_as_the_last_word_only_if_the_provider_does_so() -> None:
    assert transcribe(started(1.1), stopped(3.2)).of(TranscriptionFrame)[0].finalized
    assert not transcribe(started(1.1), stopped(3.2), finalizes=False).of(TranscriptionFrame)[0].finalized


def test_a_generator_of_texts_begins_with_its_first_text_in_each_call() -> None:
    script = Transcripts(texts=(f"text {number}" for number in count(1)))

    def make() -> ScriptedSTT:
        return ScriptedSTT(script)

    for _ in range(2):
        run = run_stage(make, [started(1.1), stopped(1.9), started(2.5), stopped(3.2), stopped(5.0)])
        assert finals(run) == ["text 1", "text 2"]


def test_a_vad_that_cuts_a_sentence_in_two_gives_two_transcripts_without_a_word_twice() -> None:
    texts = finals(transcribe(started(1.1), stopped(1.9), started(2.0), stopped(3.2)))
    assert len(texts) == 2
    assert " ".join(texts) == SENTENCE


def test_what_the_vad_did_not_hear_is_not_transcribed() -> None:
    assert finals(transcribe()) == []
    assert finals(transcribe(started(4.2), stopped(4.6), said=(1.0, 2.0))) == []


def test_a_stall_in_the_middle_leaves_half_a_transcript_that_is_not_final() -> None:
    run = transcribe(started(1.1), stopped(3.2), faults={1: Stalls(after=0.5)})
    assert finals(run) == ["a table for"]
    assert not run.of(TranscriptionFrame)[0].finalized


def test_a_late_transcript_does_not_overtake_the_one_before() -> None:
    run = transcribe(
        started(1.1), stopped(1.9), started(2.0), stopped(3.2), until=12.0, latency=_falling_latency()
    )
    assert " ".join(finals(run)) == SENTENCE


def _falling_latency() -> Any:
    from piopiy_pipeline.testing.scripted.latency_profiles import ByTurn

    return ByTurn({1: 5.0}, otherwise=0.1)


def test_a_service_that_ends_turns_by_itself_is_not_stood_for() -> None:
    class Decides(PlainSTT):
        def service_metadata_frame(self) -> Any:
            frame = super().service_metadata_frame()
            frame.user_turn_strategies = object()  # type: ignore[assignment]  # any will do
            return frame

    with pytest.raises(StageError, match="decides itself when the caller's turn ends"):
        ScriptedSTT(spoken=lambda start, end: "", original=Decides([]))


def test_frames_that_are_not_its_business_pass() -> None:
    frames: list[Frame] = [TranscriptionFrame("hello", "", "")]
    run = run_stage(ScriptedSTT(spoken=lambda start, end: ""), frames)
    run.assert_passed(*frames)


def test_one_text_in_the_place_of_a_list_is_refused_because_its_letters_would_be_heard() -> None:
    with pytest.raises(TypeError, match="a list of texts, one an utterance, not one text"):
        Transcripts(texts="a table")
