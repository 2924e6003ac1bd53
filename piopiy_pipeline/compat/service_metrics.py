"""What pipecat's services measure of themselves, read where they measure it, without a frame in the pipeline.

A service measures only if its pipeline does (`PipelineParams.enable_metrics`), and then pushes a `MetricsFrame` each
time, through every stage and to every client. Here the object that makes these frames is listened to, and the frames
are kept back unless the author has asked for them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import MetricsFrame
from pipecat.metrics.metrics import MetricsData
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.metrics.frame_processor_metrics import FrameProcessorMetrics
from pipecat.services.ai_service import AIService
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["check", "measure_service", "take_pending_audio_s", "traced_by_pipecat", "turn_context_of"]

_FIRST = "stop_ttfb_metrics"
_TIMES = (
    _FIRST,
    "stop_ttfat_metrics",
    "stop_processing_metrics",
    "stop_text_aggregation_metrics",
)
_USAGE = ("start_llm_usage_metrics", "start_stt_usage_metrics", "start_tts_usage_metrics")
_ONSET = "process_ttfa_metrics"  # searches the voice's first sound in each piece of audio
_MEASURED = "_piopiy_measured"
_DECORATED = ("_process_context", "_process_universal_context", "run_tts", "run_stt", "_handle_transcription")


def measure_service(
    service: FrameProcessor, take: Callable[[MetricsData], None], *, times: bool, usage: bool
) -> None:
    """Have `take` called with everything that a service measures, from now on. A second time changes nothing.

    Args:
        service: A service of a pipeline that is not set up yet.
        take: Called with each measurement.
        times: Whether the frames with times go through the pipeline, too.
        usage: Whether those with tokens, seconds and characters do.
    """
    metrics = service._metrics
    if getattr(metrics, _MEASURED, False):
        return
    setattr(metrics, _MEASURED, True)
    for name in (*_TIMES, *_USAGE):
        passes = usage if name in _USAGE else times
        setattr(metrics, name, _listened(getattr(metrics, name), take, passes=passes))
    if not times:
        setattr(metrics, _ONSET, _nothing)
        setattr(metrics, _FIRST, _without_complaint(metrics))


def take_pending_audio_s(service: FrameProcessor) -> float:
    """Return how much audio an STT has got and not reported yet, in seconds, which counts as reported then."""
    if not isinstance(service, STTService) or not service.can_generate_metrics():
        return 0.0
    pending_s, service._stt_usage_pending_seconds = service._stt_usage_pending_seconds, 0.0
    return pending_s


def traced_by_pipecat(service: FrameProcessor) -> bool:
    """Return whether pipecat makes spans of this service's requests: its methods are decorated."""
    return any(hasattr(getattr(type(service), name, None), "__wrapped__") for name in _DECORATED)


def turn_context_of(service: FrameProcessor) -> Any:
    """Return OpenTelemetry's context of the turn that a service works for, or of its conversation; None without one."""
    tracing = getattr(service, "_tracing_context", None)
    return None if tracing is None else tracing.get_turn_context() or tracing.get_conversation_context()


def _listened(
    measure: Callable[..., Awaitable[MetricsFrame | None]],
    take: Callable[[MetricsData], None],
    *,
    passes: bool,
) -> Callable[..., Awaitable[MetricsFrame | None]]:
    async def measured(*given: Any, **named: Any) -> MetricsFrame | None:
        frame = await measure(*given, **named)
        if frame is not None:
            for data in frame.data:
                take(data)
        return frame if passes else None

    return measured


def _without_complaint(metrics: FrameProcessorMetrics) -> Callable[..., Awaitable[MetricsFrame | None]]:
    """Leave out what pipecat cannot measure, and warns of: a transcript that came before the speech was over."""
    stop: Callable[..., Awaitable[MetricsFrame | None]] = metrics.stop_ttfb_metrics

    async def stopped(*, end_time: float | None = None) -> MetricsFrame | None:
        if (end_time or time.time()) < metrics._start_ttfb_time:
            await metrics.cancel_ttfb_metrics()
            return None
        return await stop(end_time=end_time)

    return stopped


async def _nothing(**_: Any) -> None:
    return None


def check() -> None:
    """Check that pipecat measures as this module needs it.

    Raises:
        CompatError: An upgrade has taken something away. The message names it.
    """
    measures = (*_TIMES, *_USAGE, _ONSET, "cancel_ttfb_metrics", "_start_ttfb_time")
    check_attributes(
        "pipecat-ai",
        [
            *((FrameProcessorMetrics, name) for name in measures),
            (FrameProcessor, "_metrics"),
            (AIService, "_tracing_context"),
            (STTService, "_stt_usage_pending_seconds"),
        ],
        written_for=PIPECAT,
        used_in=__name__,
    )


check()
