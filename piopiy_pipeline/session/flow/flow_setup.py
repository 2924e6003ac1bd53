"""`FlowSetup`: the flow of a call that does not run yet. pipecat's manager is loaded only for calls that have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.flow.flow_plan import FlowPlan
from piopiy_pipeline.session.providers.stage_errors import services_of
from piopiy_pipeline.session.speaker import Speaker

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.call_flow import CallFlow

__all__ = ["FlowSetup"]


@dataclass(frozen=True, slots=True)
class FlowSetup:
    """What an author has said of the flow of a call.

    Attributes:
        plan: The flow.
        first_state: The flow's state at its beginning.
        greeting: What is said in the first node before anything else.
    """

    plan: FlowPlan
    first_state: Mapping[str, Any]
    greeting: str | None = None

    def begin_in(
        self,
        pipeline: CallPipeline,
        state: CallState,
        *,
        worker: PipelineWorker,
        speaker: Speaker,
        hang_up: Callable[[], None],
    ) -> CallFlow:
        """Return the flow of a pipeline that is about to run.

        Raises:
            StageError: The pipeline has no context, or no model that can follow a flow.
            ValueError: The first node uses what is not in the flow's state.
        """
        from piopiy_pipeline.session.flow.call_flow import CallFlow, FlowMouth
        from piopiy_pipeline.session.flow.flow_worker import SpokenFlow

        user, assistant = pipeline.find(LLMUserAggregator), pipeline.find(LLMAssistantAggregator)
        if not isinstance(user, LLMUserAggregator) or not isinstance(assistant, LLMAssistantAggregator):
            raise StageError(
                "a flow needs both sides of a context in the chain: user_context and assistant_context"
            )
        models = [service for service in services_of(pipeline) if isinstance(service, LLMService)]
        if not models:
            raise StageError("a flow needs a language model in the chain", "llm")
        run = speaker.realtime
        if (run is None or run.changes is None) and any(is_realtime(model) for model in models):
            raise StageError(
                "a flow needs a model of text, or a speech-to-speech model that takes other instructions in the "
                "middle of a call: OpenAI's, Azure's, Google's, Amazon's and Ultravox's do, but for an agent or a "
                "join_url of Ultravox's",
                "llm",
            )

        async def say(text: str) -> bool:
            return await speaker.say(text, to_the_end=True)

        speech = None
        if run is not None and run.changes is not None:
            speech = SpokenFlow(run.changes.follow_flow, speaker.respond, run.until_said, run.words.settle)
        return CallFlow(
            self.plan,
            state,
            context=user.context,
            worker=worker,
            llm=models[0],
            sides=(user, assistant),
            mouth=FlowMouth(speaker.say_behind, say, speaker.say_the_rest, speaker.respond, hang_up, speech),
            first_state=self.first_state,
            greeting=self.greeting,
        )
