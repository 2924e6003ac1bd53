"""Makes the `HandOffs` of a pipeline that is about to run, and the one `VoiceChange` of a call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.tool_options import tool_handlers
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.hand_off.hand_offs import HandOffMouth, HandOffs
from piopiy_pipeline.session.hand_off.persona import Persona, personas_in
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.providers.stage_errors import services_of
from piopiy_pipeline.session.speaker import Speaker
from piopiy_pipeline.session.speech_end import SpeechEnd
from piopiy_pipeline.session.voice_change import VoiceChange
from piopiy_pipeline.stage_error import StageError

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.call_flow import CallFlow
    from piopiy_pipeline.session.realtime.realtime_run import RealtimeRun

__all__ = ["hand_offs_of", "voice_change_of"]


def hand_offs_of(
    pipeline: CallPipeline,
    state: CallState,
    *,
    worker: CallWorker,
    speaker: Speaker,
    speech_end: SpeechEnd,
    known: Mapping[str, Persona],
    realtime: RealtimeRun | None = None,
    flow: CallFlow | None = None,
) -> HandOffs | None:
    """Return who hands over the call of this pipeline. None if nobody can: it has no context or no model, or the
    session of its speech-to-speech model takes no other instructions.

    Raises:
        StageError: A tool hands the call over, and that session takes none.
    """
    user = pipeline.find(LLMUserAggregator)
    models = [service for service in services_of(pipeline) if isinstance(service, LLMService)]
    if not isinstance(user, LLMUserAggregator) or not models:
        return None
    changes = None if realtime is None else realtime.changes
    if changes is None and any(is_realtime(model) for model in models):
        for model in models:
            for name, handler in tool_handlers(model, user.context).items():
                if personas_in([handler]):
                    raise StageError(
                        f"the tool {name!r} hands the call over, and {type(model).__name__} takes no other "
                        "instructions in the middle of a call, as it is set up",
                        "llm",
                    )
        return None
    recovery, utterances = state.recovery, state.utterances

    async def wait_until_spoken() -> None:
        if realtime is not None:
            await realtime.words.settle()
        await speech_end.wait_until_spoken()

    mouth = HandOffMouth(
        wait_until_spoken=wait_until_spoken,
        cut_off=worker.interrupt_and_settle,
        speaks=lambda: speech_end.is_heard or recovery.answer_open or utterances.pending,
        say=partial(speaker.say, to_the_end=True),
        respond=speaker.respond,
        follow=None if changes is None else changes.follow,
        until_said=None if realtime is None else realtime.until_said,
        write=None if realtime is None else realtime.write,
    )
    voice = voice_change_of(state, pipeline)
    hands = HandOffs(state, context=user.context, models=models, voice=voice, mouth=mouth, known=known)
    if flow is not None:
        flow.is_away = lambda: hands.persona is not None
        hands.came_back = flow.came_back
    return hands


def voice_change_of(state: CallState, pipeline: CallPipeline) -> VoiceChange:
    """Return the one of a call.

    Args:
        state: The call.
        pipeline: Its stages.
    """
    if state.voice_change is None:
        state.voice_change = VoiceChange(pipeline)
    state.voice_change.pipeline = pipeline
    return state.voice_change
