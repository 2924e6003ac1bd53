"""The scripted TTS as a stage: recordings or tones, word times, pace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pipecat.frames.frames import TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame, TTSTextFrame

from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.testing.scripted.faults import Disconnects
from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS, Voice
from piopiy_pipeline.testing.stage.run_stage import run_stage
from piopiy_pipeline.testing.stage.stage_run import StageRun
from tests.support.services import ToneTTS

WAV = Path(__file__).parents[2] / "audio" / "booking" / "03-yes.wav"


def say(text: str, voice: Voice, *, rate: int = 16000) -> StageRun:
    return run_stage(ScriptedTTS(voice), [TTSSpeakFrame(text)], rate=rate)


def seconds(run: StageRun) -> float:
    return sum(len(frame.audio) / 2 / frame.sample_rate for frame in run.of(TTSAudioRawFrame))


def words(run: StageRun) -> list[str]:
    return [frame.text for frame in run.of(TTSTextFrame)]


def test_a_tone_a_word_is_as_long_as_its_letters() -> None:
    run = say("Good day.", Voice(seconds_per_character=0.05))
    assert seconds(run) == pytest.approx(0.5)
    assert words(run) == ["Good", "day."]
    run.assert_order(TTSAudioRawFrame, TTSStoppedFrame)


def test_a_sentence_that_is_recorded_sounds_as_recorded_whatever_its_case() -> None:
    run = say("YES, please!", Voice(recordings={"Yes please.": WAV}), rate=8000)
    pcm = np.frombuffer(b"".join(frame.audio for frame in run.of(TTSAudioRawFrame)), np.int16)
    assert np.array_equal(pcm, read_wav(WAV, 8000))


def test_audio_begins_after_the_latency_and_goes_on_at_its_speed() -> None:
    run = say("a sentence of some length", Voice(latency=0.3, speed=4))
    audio = run.of(TTSAudioRawFrame)
    assert run.at(audio[0]) == pytest.approx(0.3)
    assert run.at(audio[-1]) == pytest.approx(0.3 + 0.05 * (len(audio) - 1))


def test_word_times_follow_the_service_that_it_stands_for() -> None:
    timed = run_stage(ScriptedTTS(original=ToneTTS(words=True)), [TTSSpeakFrame("Good day.")])
    whole = run_stage(ScriptedTTS(original=ToneTTS(words=False)), [TTSSpeakFrame("Good day.")])
    assert words(timed) == ["Good", "day."]
    assert words(whole) == ["Good day."]


def test_a_connection_that_breaks_off_leaves_part_of_the_speech_and_an_error() -> None:
    run = say("a sentence of some length", Voice(faults={0: Disconnects(after=0.5)}))
    assert seconds(run) == pytest.approx(seconds(say("a sentence of some length", Voice())) / 2, abs=0.01)
    assert "closed in the middle" in run.errors[0].error


def test_a_recording_that_is_not_there_is_an_error_before_the_call() -> None:
    with pytest.raises(WavError, match="no such file"):
        Voice(recordings={"Hello.": Path("nowhere.wav")})
