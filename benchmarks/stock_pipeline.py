"""The pipeline of stock pipecat that benchmarks compare with: its own VAD, turns, aggregators and worker.

It imports nothing of this project but `instant_services`, so that it runs where there is stock pipecat only.
"""

from __future__ import annotations

from typing import Any

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import BaseTransport
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from benchmarks.instant_services import INSTRUCTIONS, InstantLLM, InstantSTT, InstantTTS, Tally, book_table

__all__ = ["stock_worker"]


def stock_worker(
    transport: BaseTransport, rate: int, tally: Tally, *, tts: TTSService | None = None
) -> PipelineWorker:
    """Return the worker of one call, without RTVI.

    Args:
        transport: How the call's audio comes and goes.
        rate: The sample rate of the bot's voice in Hz; the caller's is 16,000 at most.
        tally: Counts what the services do.
        tts: Its voice, if it is another than `InstantTTS`.
    """
    context = LLMContext([{"role": "system", "content": INSTRUCTIONS}], tools=[book_table])
    strategies = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)]
    )
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(user_turn_strategies=strategies)
    )
    stages: list[Any] = [
        transport.input(),
        VADProcessor(vad_analyzer=SileroVADAnalyzer()),
        InstantSTT(tally),
        user,
        InstantLLM(tally),
        tts or InstantTTS(tally),
        transport.output(),
        assistant,
    ]
    return PipelineWorker(
        Pipeline(stages),
        params=PipelineParams(audio_in_sample_rate=min(rate, 16000), audio_out_sample_rate=rate),
        enable_rtvi=False,
        cancel_runner_on_idle_timeout=False,
    )
