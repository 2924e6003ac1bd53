"""`StageErrors`: the errors of a pipeline's stages in the log, each once, with the author's line and a traceback.

pipecat logs an `ErrorFrame` where it is pushed and again where it leaves the pipeline, without a traceback and by the
number of its processor. Those lines are left out (`piopiy_pipeline.log`), because each stage is watched here.
"""

from __future__ import annotations

from collections.abc import Iterable

from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.tool_runs import LOGGED, OF_TOOL
from piopiy_pipeline.error_text import authors_line, note_error, told_by_provider
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.service_names import kind_of, provider_name
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["StageErrors", "services_of"]

MAX_KNOWN = 50
"""So many different errors of a call are logged; what comes again, or later, is for those who look for everything."""
_OF_OUR_CODE = (ErrorCategory.UNKNOWN, ErrorCategory.APPLICATION)
"""Errors of which the line is worth knowing. The others are a provider's answer, such as a wrong key."""


def services_of(pipeline: CallPipeline) -> list[FrameProcessor]:
    """Return all stages of a pipeline, with the services of each switch in the place of the switch."""
    services: list[FrameProcessor] = []
    for name in pipeline.names:
        stage = pipeline[name]
        services += stage.services if isinstance(stage, ServiceSwitch) else (stage,)
    return services


_ADVICE = {
    ErrorCategory.AUTHENTICATION: "check the key that {} was given",
    ErrorCategory.AUTHORIZATION: "check what the key of {} may be used for",
}
"""What to do about a provider that refuses, with the name of its service."""


class StageErrors:
    """Names the stages of one pipeline, and logs what goes wrong in them.

    Args:
        pipeline: The stages. From now on each is watched.
    """

    def __init__(self, pipeline: CallPipeline) -> None:
        self._pipeline = pipeline
        self._known: set[tuple[str, str]] = set()
        for stage in _with_inner(pipeline[name] for name in pipeline.names):
            stage.add_event_handler("on_error", self.raised)

    async def raised(self, stage: FrameProcessor, frame: ErrorFrame) -> None:
        """Log an error, and let its text say where the author's own code has raised it (pipecat's `on_error`)."""
        frame.error = told_by_provider(frame.error)
        error = frame.exception
        place = "" if error is None else authors_line(error)
        if error is not None:
            note_error(error)
        if error is not None and place and place not in frame.error:
            frame.error = f"{frame.error.rstrip(': ')} ({type(error).__name__} at {place})"
        if frame.metadata.get(LOGGED):
            return
        frame.metadata[LOGGED] = True
        service = frame.processor or stage
        if frame.category in _ADVICE and "check " not in frame.error:
            frame.error = f"{frame.error}: {_ADVICE[frame.category].format(type(service).__name__)}"
        if (kind := kind_of(service)) is not None and not frame.metadata.get(OF_TOOL):
            COUNTS.provider_failed(kind, provider_name(service))
        culprit = frame.metadata.get(OF_TOOL) or self.title_of(frame.processor or stage)
        key = culprit, place or frame.error[:100]
        if key in self._known or len(self._known) >= MAX_KNOWN:
            logger.debug("{} failed again: {}", culprit, frame.error)
            return
        self._known.add(key)
        shown = error if place or frame.category in _OF_OUR_CODE else None
        logger.opt(exception=shown).error("{} failed: {}", culprit, frame.error)

    def name_of(self, stage: FrameProcessor | None) -> str:
        """Return the name of a stage: of a service in a switch, that of the switch."""
        if isinstance(stage, TTSService):
            return "tts"
        if isinstance(stage, STTService):
            return "stt"
        for name in self._pipeline.names:
            at = self._pipeline[name]
            if at is stage or (isinstance(at, ServiceSwitch) and stage in at.services):
                return name
        return str(stage)

    def blamed(self, culprit: str) -> str:
        """Return the name of the stage that has failed: where the voice has, in a chain without one, the model.

        A model that speaks itself has no voice beside it, and a text chat shows what its model writes.
        """
        own_voice = "tts" in self._pipeline and not self._pipeline.typed
        if (
            culprit != "tts"
            or own_voice
            or any(isinstance(s, TTSService) for s in services_of(self._pipeline))
        ):
            return culprit
        models = (name for name in self._pipeline.names if _is_model(self._pipeline[name]))
        return next(models, culprit)

    def title_of(self, stage: FrameProcessor | None) -> str:
        """Return the name of a stage, and which one it is of several services in its place."""
        service = self._service_name(stage)
        return f"{self.name_of(stage)} ({service})" if service else self.name_of(stage)

    def text_of(self, stage: FrameProcessor | None, message: str) -> str:
        """Return what is to be on record of a stage: which one of several services, and the message."""
        service = self._service_name(stage)
        return f"{service}: {message}" if service else message

    def _service_name(self, stage: FrameProcessor | None) -> str:
        for name in self._pipeline.names:
            at = self._pipeline[name]
            if isinstance(at, ServiceSwitch) and stage in at.services and len(at.services) > 1:
                return at.name_of(stage)
        return ""


def _is_model(stage: FrameProcessor) -> bool:
    return isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, LLMService)


def _with_inner(stages: Iterable[FrameProcessor]) -> list[FrameProcessor]:
    found: list[FrameProcessor] = []
    for stage in stages:
        found += [stage, *_with_inner(stage.processors)]
    return found
