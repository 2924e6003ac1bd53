"""Calls in which a provider hears the caller, and cannot write down what they have said. In virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pipecat.services.azure.voice_live.llm import AzureVoiceLiveLLMService
from pipecat.services.inworld.realtime.llm import InworldRealtimeLLMService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.services.xai.realtime.llm import GrokRealtimeLLMService

from piopiy_pipeline.session import Call
from piopiy_pipeline.session.realtime.unwritten_words import UNWRITTEN
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    Providers,
    Refused,
    Replies,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.virtual import PEOPLE, YES, texts

SERVICES: list[Callable[[], Any]] = [
    lambda: OpenAIRealtimeLLMService(api_key="none"),
    lambda: GrokRealtimeLLMService(api_key="none"),
    lambda: InworldRealtimeLLMService(api_key="none"),
    lambda: AzureVoiceLiveLLMService(api_key="none", endpoint="http://127.0.0.1"),
]
NAMES = ["OpenAI", "Grok", "Inworld", "Voice Live"]


@pytest.mark.parametrize("make", SERVICES, ids=NAMES)
@pytest.mark.parametrize("lost", [False, True], ids=["", "its agent is lost"])
def test_a_turn_that_is_not_written_down_is_on_the_record_and_is_answered_once(
    make: Callable[[], Any], lost: bool
) -> None:
    conversations: list[list[Any]] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call)
        pipeline = await agent.Action(llm=make())
        user: Any = pipeline["user_context"]
        conversations.append(user.context.messages)
        await agent.start()

    call = simulate(
        bot,
        Caller().pause(3).say(PEOPLE).pause(8).say(YES).pause(8),
        providers=Providers(
            stt=Transcripts(texts=["a table please", "yes"], faults={1: Refused()}),
            llm=Replies("By the window?", "It is booked."),
            tts=Voice(),
        ),
        losses=[AgentLoss("bot_turn", 1.0, 2)] if lost else [],
    )
    errors = [event.data["message"] for event in call.of("error")]
    assert [error for error in errors if "the caller's words were not written down" in error], call.timeline()
    assert texts(call, "user") == [UNWRITTEN, "yes"], call.timeline()
    assert texts(call, "bot") == ["Good day.", "By the window?", "It is booked."], call.timeline()
    roles = [one["role"] for one in conversations[-1] if one["role"] in ("user", "assistant")]
    assert roles == ["assistant", "user", "assistant", "user", "assistant"]
