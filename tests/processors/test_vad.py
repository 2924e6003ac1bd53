"""The stage in a pipeline: pipecat's contract, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    SpeechControlParamsFrame,
    StartFrame,
    TranscriptionFrame,
    UserSpeakingFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADParamsUpdateFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from piopiy_pipeline.processors.caller_audio import CallerAudioFrame
from piopiy_pipeline.processors.silero import SileroModel
from piopiy_pipeline.processors.vad import VadStage, make_vad
from piopiy_pipeline.processors.vad_engine import VadEngine
from piopiy_pipeline.processors.vad_segments import VadSettings

Pcm = NDArray[np.int16]
Recording = Callable[[int], Pcm]
RunLiveChain = Callable[..., Any]

STARTED, STOPPED = VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame
PLAIN = VadSettings(min_volume=0.0)


def turns(count: int) -> Callable[[Any], bool]:
    """Has the chain heard this many ends of speech?"""
    return lambda ear: len(ear.of(STOPPED)) >= count


def story(ear: Any) -> list[tuple[str, float | None]]:
    """Starts and stops with their seconds, in order."""
    return [
        (type(frame).__name__, getattr(frame, "start_secs", getattr(frame, "stop_secs", None)))
        for frame in ear.of(STARTED, STOPPED)
    ]


@pytest.mark.parametrize("rate", [16000, 8000])
def test_the_same_recording_gives_the_frames_of_pipecats_own_stage(
    rate: int, conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    pcm = conversation(rate)
    params = VADParams(start_secs=0.1, stop_secs=0.2, min_volume=0.0)

    async def talk(chain: Any) -> None:
        await chain.speak(pcm)
        await chain.downstream.until(lambda: len(story(chain.downstream)) >= wanted)

    wanted = 4
    theirs = run_live_chain(lambda: [VADProcessor(vad_analyzer=SileroVADAnalyzer(params=params))], talk, rate)
    wanted = len(story(theirs.downstream))
    ours = run_live_chain(lambda: [VadStage(PLAIN)], talk, rate)

    assert story(ours.downstream) == story(theirs.downstream)
    assert story(ours.upstream) == story(theirs.upstream)
    assert ours.downstream.samples == theirs.downstream.samples
    for direction in ("downstream", "upstream"):
        mine, other = getattr(ours, direction), getattr(theirs, direction)
        assert [f.vad_params for f in mine.of(SpeechControlParamsFrame)] == [params]
        assert [f.vad_params for f in other.of(SpeechControlParamsFrame)] == [params]
        assert mine.of(UserSpeakingFrame)
    assert ours.downstream.order.index("StartFrame") < ours.downstream.order.index("SpeechControlParamsFrame")
    siblings = {frame.broadcast_sibling_id for frame in ours.upstream.of(STARTED, STOPPED)}
    assert siblings == {frame.id for frame in ours.downstream.of(STARTED, STOPPED)}


def test_samples_may_come_by_a_function_call_and_their_frames_are_not_scored_again(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    pcm = conversation(16000)

    async def talk(chain: Any) -> None:
        for at in range(0, len(pcm), 333):
            chain.stages[0].feed(pcm[at : at + 333].tobytes())
            vad = chain.stages[0]
            await chain.send(CallerAudioFrame(pcm[at : at + 333].tobytes(), 16000, fed_to=vad))
            if at % (333 * 40) == 0:
                await chain.rest()
        await chain.downstream.until(lambda: turns(2)(chain.downstream))

    async def plain(chain: Any) -> None:
        await chain.speak(pcm)
        await chain.downstream.until(lambda: turns(2)(chain.downstream))

    fed = run_live_chain(lambda: [VadStage(PLAIN)], talk)
    framed = run_live_chain(lambda: [VadStage(PLAIN)], plain)
    assert story(fed.downstream) == story(framed.downstream)
    assert fed.downstream.samples == len(pcm)


class Input(FrameProcessor):
    """An input transport as far as the stage sees it: `flush` pushes what is left of a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame) and isinstance(self.next, VadStage):
            self.next.take_samples_from(self.flush, lambda: None)
        await self.push_frame(frame, direction)

    async def flush(self) -> None:
        self.flushed += 1
        assert isinstance(self.next, VadStage)
        await self.push_frame(CallerAudioFrame(bytes(2 * 77), 16000, fed_to=self.next))


def test_the_end_of_speech_is_told_behind_the_last_of_its_audio(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    pcm = conversation(16000)

    async def talk(chain: Any) -> None:
        await chain.speak(pcm)
        await chain.downstream.until(lambda: turns(2)(chain.downstream))

    chain = run_live_chain(lambda: [Input(), VadStage(PLAIN)], talk)
    stops = len(chain.downstream.of(STOPPED))
    assert chain.stages[0].flushed == stops
    assert chain.downstream.samples == len(pcm) // 320 * 320 + 77 * stops
    order = chain.downstream.order
    assert all(order[i - 1] == "CallerAudioFrame" for i, name in enumerate(order) if name == STOPPED.__name__)


def test_audio_that_ceases_in_mid_word_stops_speech(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    pcm = conversation(16000)

    async def talk(chain: Any) -> None:
        stage = chain.stages[0]
        for at in range(0, len(pcm), 320):
            await chain.speak(pcm[at : at + 320])
            if stage.speaking:
                break
            if at % 3200 == 0:
                await chain.rest()
        await chain.downstream.until(lambda: turns(1)(chain.downstream))
        assert not stage.speaking

    chain = run_live_chain(lambda: [VadStage(PLAIN, audio_idle_timeout=0.1)], talk)
    assert [name for name, _ in story(chain.downstream)] == [STARTED.__name__, STOPPED.__name__]


def test_new_parameters_take_effect_and_are_announced_both_ways(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    async def talk(chain: Any) -> None:
        update = VADParamsUpdateFrame(VADParams(confidence=0.6, start_secs=0.3, stop_secs=0.4))
        await chain.stages[0].queue_frame(update, FrameDirection.UPSTREAM)
        await chain.downstream.until(lambda: len(chain.downstream.of(SpeechControlParamsFrame)) == 2)
        await chain.speak(conversation(16000))
        await chain.downstream.until(lambda: turns(2)(chain.downstream))

    chain = run_live_chain(lambda: [VadStage()], talk)
    announced = VADParams(confidence=0.6, start_secs=0.3, stop_secs=0.4, min_volume=0.0)
    assert [f.vad_params for f in chain.downstream.of(SpeechControlParamsFrame)][-1] == announced
    assert [f.vad_params for f in chain.upstream.of(SpeechControlParamsFrame)][-1] == announced
    assert {f.start_secs for f in chain.downstream.of(STARTED)} == {0.3}
    assert {f.stop_secs for f in chain.downstream.of(STOPPED)} == {0.4}


def test_parameters_out_of_range_are_an_error_and_the_old_ones_stay(run_live_chain: RunLiveChain) -> None:
    async def talk(chain: Any) -> None:
        await chain.send(VADParamsUpdateFrame(VADParams(confidence=7)))
        await chain.upstream.until(lambda: bool(chain.upstream.of(ErrorFrame)))

    chain = run_live_chain(lambda: [VadStage()], talk)
    assert "confidence must be a number from 0 to 1, got 7" in chain.upstream.of(ErrorFrame)[0].error
    assert chain.stages[0].settings == VadSettings()


def test_a_volume_that_is_asked_for_and_never_reached_keeps_the_stage_silent(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    async def talk(chain: Any) -> None:
        await chain.speak(conversation(16000))

    assert story(run_live_chain(lambda: [make_vad({"min_volume": 1.0})], talk).downstream) == []


def test_pipecats_turn_strategies_open_and_close_a_turn_behind_the_stage(
    conversation: Recording, run_live_chain: RunLiveChain
) -> None:
    def stages() -> list[FrameProcessor]:
        strategies = UserTurnStrategies(
            start=[VADUserTurnStartStrategy()],
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.05)],
        )
        pair = LLMContextAggregatorPair(
            LLMContext(), user_params=LLMUserAggregatorParams(user_turn_strategies=strategies)
        )
        return [VadStage(), pair.user()]

    async def talk(chain: Any) -> None:
        pcm = conversation(16000)
        await chain.speak(pcm[: len(pcm) * 6 // 10])
        await chain.upstream.until(lambda: bool(chain.upstream.of(UserStartedSpeakingFrame)))
        said = TranscriptionFrame("a table for two", "caller", "now", finalized=True)
        await chain.stages[1].queue_frame(said)
        await chain.speak(pcm[len(pcm) * 6 // 10 :])
        await chain.upstream.until(lambda: bool(chain.upstream.of(UserStoppedSpeakingFrame)))

    chain = run_live_chain(stages, talk)
    assert chain.downstream.of(InterruptionFrame)


def test_audio_of_another_rate_is_one_clear_error_and_passes_on(run_live_chain: RunLiveChain) -> None:
    async def talk(chain: Any) -> None:
        for _ in range(3):
            await chain.send(InputAudioRawFrame(bytes(1920), 48000, 1))
        await chain.upstream.until(lambda: bool(chain.upstream.of(ErrorFrame)))
        await chain.downstream.until(lambda: chain.downstream.samples == 3 * 960)

    chain = run_live_chain(lambda: [VadStage()], talk)
    errors = [frame.error for frame in chain.upstream.of(ErrorFrame)]
    assert len(errors) == 1
    assert "listens at 16000 Hz mono, but gets audio of 48000 Hz" in errors[0]


def test_scoring_that_fails_is_reported_once_and_not_for_every_window(run_live_chain: RunLiveChain) -> None:
    healthy = [True]

    class Failing(SileroModel):
        def score(self, *args: Any) -> Any:
            if healthy:
                return super().score(*args)
            raise OSError("model.onnx: input/output error")

    async def talk(chain: Any) -> None:
        healthy.clear()
        await chain.speak(np.full(32000, 3000, np.int16))
        await chain.upstream.until(lambda: bool(chain.upstream.of(ErrorFrame)))

    engine = VadEngine(load=Failing)
    chain = run_live_chain(lambda: [VadStage(engine=engine)], talk)
    engine.close()
    assert len(chain.upstream.of(ErrorFrame)) == 1
    assert "could not score the caller's audio" in chain.upstream.of(ErrorFrame)[0].error


def test_nothing_of_a_call_stays_in_the_engine(conversation: Recording, run_live_chain: RunLiveChain) -> None:
    engine = VadEngine()

    async def talk(chain: Any) -> None:
        await chain.speak(conversation(16000)[:48000])
        assert engine.streams == 1

    run_live_chain(lambda: [VadStage(engine=engine)], talk)
    assert engine.streams == 0
    engine.close()


def test_what_an_author_may_write_for_vad() -> None:
    assert make_vad(False) is None
    assert make_vad(None) is None
    by_default, chosen = make_vad(True), make_vad({"confidence": 0.8, "min_volume": 0.6})
    assert isinstance(by_default, VadStage)
    assert by_default.settings == VadSettings(0.7, 0.1, 0.2, None)
    assert isinstance(chosen, VadStage)
    assert chosen.settings == VadSettings(0.8, 0.1, 0.2, 0.6)
    analyzer = SileroVADAnalyzer()
    assert isinstance(make_vad(analyzer), VADProcessor)
    asyncio.run(analyzer.cleanup())


def test_a_misspelt_key_names_the_one_that_was_meant_and_all_there_are() -> None:
    with pytest.raises(ValueError, match="unknown key 'stop_sec'; did you mean 'stop_secs'") as caught:
        make_vad({"stop_sec": 0.5})
    assert "confidence, start_secs, stop_secs, min_volume" in str(caught.value)


def test_a_value_out_of_range_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValueError, match="vad: confidence must be a number from 0 to 1, got 70"):
        make_vad({"confidence": 70})


def test_anything_else_is_a_type_error_that_says_what_is_taken() -> None:
    with pytest.raises(TypeError, match="True, False, a dict of settings or a pipecat VADAnalyzer, not str"):
        make_vad("silero")  # type: ignore[arg-type]  # what the test is about
