"""Calls that are led by the booking flow of the examples, to a model that hears and speaks itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Providers, Replies, SimulatedCall, Tool, Transcripts, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support import flow_calls
from tests.support.flow_calls import (  # the flow finds its functions in this module
    FLOW,
    Walk,
    book,
    find_booking,
    opening_hours,
    set_people,
    set_time,
)
from tests.support.realtime_calls import Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.told_notes import without_notes

__all__ = [
    "book",
    "find_booking",
    "set_people",
    "set_time",
    "spoken_model",
    "spoken_providers",
    "walk_of",
    "walk_spoken",
]

OURS = ("Ask ", "The table is", "Repeat the booking", "Thank the caller", "The line was")


def spoken_model(context: LLMContext) -> str | Tool:
    """Answer as the model of text does. Tasks are the system's in a session, and the caller's in a new one."""
    first, *rest = [
        dict(message) for message in without_notes(context).get_messages() if isinstance(message, dict)
    ]
    for message in rest:
        if message["role"] == "system" or str(message.get("content")).startswith(OURS):
            message["role"] = "developer"
    return flow_calls.model(LLMContext([first, *rest], tools=context.tools))  # type: ignore[list-item]


def spoken_providers(model: Any = spoken_model, latency: float = 0.3) -> Providers:
    """The model as a provider that hears and speaks itself, of whatever protocol the bot's service has."""
    return Providers(
        stt=Transcripts(latency=0.2), llm=Replies(otherwise=model, latency=latency), tts=Voice(latency=0.1)
    )


SPOKEN = spoken_providers()


def walk_spoken(
    words: Sequence[str],
    losses: Sequence[AgentLoss] = (),
    *,
    kind: type[Case] = Case,
    providers: Providers = SPOKEN,
    **service: Any,
) -> SimulatedCall:
    """Have somebody call who says these words, one a turn.

    Args:
        words: What they say.
        losses: When the agent is lost.
        kind: Whose model the bot has.
        providers: What the model does.
        service: Options of the provider's service.
    """

    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", greeting="Good day.", flow=FLOW, call=call, tools=[opening_hours]
        )
        await agent.Action(llm=kind().make_service(**service))
        await agent.start()

    return flow_calls.walk(words, losses, bot=bot, providers=providers)


@cache  # for each provider the same object: calls without a loss are made once for each
def walk_of(name: str) -> Walk:
    """Return what walks the flow with the model of a provider."""
    return partial(walk_spoken, kind=PROVIDERS[name]())
