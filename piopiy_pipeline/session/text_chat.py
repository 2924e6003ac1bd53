"""A text chat: the author's own chain without what is there for sound.

The callback has built it as for a voice call, with the same tools and the same context. Of a chat nothing is heard and
nothing spoken, so STT, TTS, VAD and what stands before the STT are passed over, and no model of theirs is loaded.
"""

from __future__ import annotations

from dataclasses import replace

from loguru import logger
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport

from piopiy_pipeline.compat.turn_strategies import use_strategies
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.services.text_answers import answer_in_text
from piopiy_pipeline.session.pipeline_run import RunOptions
from piopiy_pipeline.transports.shown_text import ShownText
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns
from piopiy_pipeline.turns.typed_turns import typed_turns, written_turns

__all__ = ["IDLE_S", "as_text_chat"]

IDLE_S = 1800.0
"""Who types may think for longer than who speaks: a shorter idle timeout of the author's counts as this one."""


def as_text_chat(chain: CallPipeline, options: RunOptions) -> RunOptions:
    """Make a text chat of an author's chain, in place.

    Args:
        chain: The chain, which does not run yet.
        options: How it was to run.

    Returns:
        How it is to run: nobody is asked whether they are still there, and no waiting is bridged by a sound.

    Raises:
        StageError: The chain runs already, or its model speaks and does not write.
    """
    speaks = next((chain[name] for name in chain.names if is_realtime(chain[name])), None)
    if speaks is not None:
        _have_it_write(speaks)
    passed_over = [name for name in _before_stt(chain) if name != "vad"]
    for name in passed_over:
        logger.info("a text chat has no sound: the stage {!r} is passed over", name)
    for name in _before_stt(chain):
        chain.remove(name)
    for name in chain.names:
        if _is_a(chain[name], STTService) or isinstance(chain[name], VadStage):
            chain.remove(name)
    voices = [name for name in chain.names if _is_a(chain[name], TTSService)]
    for name in voices[1:]:
        chain.remove(name)
    if voices:
        chain.replace(voices[0], ShownText())
    else:
        output = next((n for n in chain.names if isinstance(chain[n], BaseOutputTransport)), None)
        if output is not None:
            chain.insert("tts", ShownText(), before=output, wants_audio=False)
    chain.turn_end = chain.eager = None
    chain.typed = True
    if speaks is not None:  # what is typed is written into its conversation, and asked about
        chain.realtime = RealtimeTurns(written_turns())
    user = chain.find(LLMUserAggregator)
    if isinstance(user, LLMUserAggregator):
        use_strategies(user, typed_turns() if chain.realtime is None else chain.realtime.strategies)
    idle_s = options.idle_timeout_s
    return replace(
        options, filler=None, idle=False, idle_timeout_s=None if idle_s is None else max(idle_s, IDLE_S)
    )


def _have_it_write(model: FrameProcessor) -> None:
    """Have a speech-to-speech model that does not run yet answer in text.

    Raises:
        StageError: It does not.
    """
    try:
        answer_in_text(model)
    except ValueError as error:
        raise StageError(
            f"{type(model).__name__} hears and speaks, and does not chat: give a text chat (call.info.kind is 'text') "
            f"a model of text, with stt and tts as for a call, or a speech-to-speech model that writes: {error}",
            "llm",
        ) from None


def _before_stt(chain: CallPipeline) -> list[str]:
    """Return the names of the stages between the transport and the STT, which hear the caller and nothing else."""
    names = list(chain.names)
    stt = next((at for at, name in enumerate(names) if _is_a(chain[name], STTService)), 0)
    return [
        name
        for name in names[:stt]
        if not isinstance(chain[name], BaseInputTransport) and chain.wants_audio(name)
    ]


def _is_a(stage: FrameProcessor, kind: type[FrameProcessor]) -> bool:
    return isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, kind)
