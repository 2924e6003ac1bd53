"""pipecat's warning about instructions in the context does not reach an author who cannot change where they stand."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils import deprecation

from piopiy_pipeline.compat.side_requests import ask_beside
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS

CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


class Local(OpenAILLMService):
    """pipecat's service with its own adapter, and an answer that needs no network."""

    def __init__(self) -> None:
        super().__init__(api_key="k", settings=OpenAILLMService.Settings(model="m"))
        self.asked: list[Any] = []
        self._client.chat.completions.create = self._create

    async def _create(self, **options: Any) -> Any:
        self.asked.append(options["messages"])
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        choice = {"index": 0, "delta": {"content": "Good day."}, "finish_reason": "stop"}
        yield ChatCompletionChunk.model_validate({**CHUNK, "choices": [choice]})


def test_neither_an_answer_nor_what_is_asked_beside_it_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_warned_sites", set())
    models: list[Local] = []

    async def create_session(call: Call) -> None:
        models.append(Local())
        agent = VoiceAgent(instructions="Be brief.")
        await agent.Action(stt=ScriptedSTT([]), llm=models[0], tts=ToneTTS())
        await agent.start()

    async def beside() -> None:
        context = LLMContext([{"role": "system", "content": "Sum up."}, {"role": "user", "content": "One."}])
        with pytest.raises(AttributeError):  # the answer is that of a stream
            await ask_beside(Local(), context)

    with warnings.catch_warnings(record=True) as warned:
        call = simulate(create_session, Caller().say("Hello!").pause(1), by="text")
        asyncio.run(beside())
    assert "Good day." in call.said
    assert models[0].asked[0][0] == {"role": "system", "content": "Be brief."}
    assert [str(one.message) for one in warned if "system" in str(one.message)] == []
