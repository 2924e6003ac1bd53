"""Speech-to-speech models: what they say, what was heard of it, and their session."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pipecat.frames.frames import ProposedUserStoppedSpeakingFrame
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_dialects import dialect_of
from piopiy_pipeline.services.realtime_services import is_gemini_live, is_nova_sonic, is_realtime, is_ultravox
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.model.text_beside_tool import watch_text_beside_tools
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.transports.bot_output import BotOutput

if TYPE_CHECKING:
    from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
    from piopiy_pipeline.session.realtime.realtime_run import RealtimeRun

__all__ = ["realtime_run_of"]


def realtime_run_of(
    state: CallState,
    pipeline: CallPipeline,
    output: BotOutput,
    monitor: CallMonitor,
    *,
    asked: Callable[[], None],
    report: Callable[[LLMService[Any], str], None],
) -> RealtimeRun | None:
    """Return what runs beside a pipeline whose model speaks itself; None beside any other.

    What it needs is imported here, so that other calls do without.
    """
    service = next((pipeline[name] for name in pipeline.names if is_realtime(pipeline[name])), None)
    user = pipeline.find(LLMUserAggregator)
    if not isinstance(service, LLMService) or not isinstance(user, LLMUserAggregator):
        return None
    if (make := _maker_for(service)) is None:
        return None
    from piopiy_pipeline.session.realtime.realtime_run import RealtimeRun

    assistant = pipeline.find(LLMAssistantAggregator) if "tts" in pipeline else None
    watch_text_beside_tools(service, state, hears=True)
    if assistant is None:
        monitor.live.by_sound()
    has_ears = any(_hears(pipeline[name]) for name in pipeline.names)
    if not has_ears and hasattr(service, "send_client_event"):
        from piopiy_pipeline.session.realtime.unwritten_words import note_unwritten

        note_unwritten(service, report)
    turns = pipeline.realtime
    if turns is not None and turns.provider_end is not None and not turns.asks:
        # Who answers by itself is not asked: its word that the caller has stopped is the turn's end.
        watch_pushes(service, lambda *_: monitor.live.model_asked(), ProposedUserStoppedSpeakingFrame)
    return RealtimeRun(
        state,
        service,
        user=user,
        output=output,
        turns=turns,
        make_provider=make,
        asked=asked,
        report=report,
        assistant=assistant if isinstance(assistant, LLMAssistantAggregator) else None,
        has_ears=has_ears,
    )


def _hears(stage: FrameProcessor) -> bool:
    services = stage.services if isinstance(stage, ServiceSwitch) else (stage,)
    return any(isinstance(service, STTService) for service in services)


def _maker_for(service: LLMService[Any]) -> Callable[..., RealtimeProvider] | None:
    """Return what makes the provider's side of a session, for its protocol; None for one that is not known."""
    if is_gemini_live(service):
        from piopiy_pipeline.session.realtime.gemini_provider import GeminiProvider

        return partial(GeminiProvider, service)
    if is_ultravox(service):
        from piopiy_pipeline.session.realtime.ultravox_provider import UltravoxProvider

        return partial(UltravoxProvider, service)
    if is_nova_sonic(service):
        from piopiy_pipeline.session.realtime.nova_provider import NovaProvider

        return partial(NovaProvider, service)
    if dialect_of(service) is None:
        return None
    from piopiy_pipeline.compat.realtime import takes_client_events
    from piopiy_pipeline.session.realtime.openai_provider import OpenAIProvider

    return partial(OpenAIProvider, service) if takes_client_events(service) else None
