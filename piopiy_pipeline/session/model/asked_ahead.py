"""Whether a pipeline lets answers be begun ahead: a look at its stages, before it runs."""

from __future__ import annotations

from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_output import BaseOutputTransport

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["models_of", "never_ahead"]


def models_of(stage: FrameProcessor) -> list[LLMService]:
    """Return the language models of a stage: of a switch all of them."""
    services = stage.services if isinstance(stage, ModelSwitch) else (stage,)
    return [service for service in services if isinstance(service, LLMService)]


def never_ahead(pipeline: CallPipeline, stage: FrameProcessor, *, asked_for: bool) -> str:
    """Return why no answer of this pipeline may be begun ahead; empty if answers may.

    A model that answers at once gains nothing. A speech-to-speech service holds the conversation itself, so that a
    question that is taken back stays in it. A stage of the author's may do something for good with what it sees.

    Args:
        pipeline: The stages.
        stage: What answers: a model, or a switch of models.
        asked_for: Whether the author has asked for answers ahead, and not only left them on.
    """
    for service in models_of(stage):
        if getattr(service, "runs_locally", False):
            return f"{service} answers at once"
        metadata = service.service_metadata_frame()
        if metadata.is_realtime_service or metadata.user_turn_strategies is not None:
            return f"{service} holds the conversation itself"
    if not asked_for:
        for name in _own_stages(pipeline, stage):
            return f"{name!r} would see questions and answers that are taken back (eager=True, if it may)"
    return ""


def _own_stages(pipeline: CallPipeline, model: FrameProcessor) -> list[str]:
    """Return the names of the author's stages that questions and answers ahead would pass."""
    found: list[str] = []
    passes = False
    for name in pipeline.names:
        stage = pipeline[name]
        if isinstance(stage, BaseOutputTransport):
            break
        if passes and stage is not model and not isinstance(stage, (TTSService, ServiceSwitch)):
            found.append(name)
        passes = passes or isinstance(stage, LLMUserAggregator)
    return found
