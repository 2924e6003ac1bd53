"""A desk that hands its callers over to billing, with one voice each, and what happens in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import TTSSettings

from piopiy_pipeline.session import Call
from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import (
    CallerLine,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Tool,
    Transcripts,
    simulate,
)
from piopiy_pipeline.tools import Persona, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import RECORDING, tools_of

__all__ = ["BACK", "TO_BILLING", "Desk", "Model", "Voices", "billing_with", "who"]


class Voices(ScriptedTTS):
    """Notes in which voice each sentence is spoken."""

    def __init__(self, spoken: list[tuple[str, str]]) -> None:
        super().__init__()
        self.spoken = spoken
        self._settings = TTSSettings(model=None, voice="desk voice", language="en")

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.spoken.append((str(self.settings.voice), text))  # type: ignore[attr-defined]
        async for frame in super().run_tts(text, context_id):
            yield frame


class Model(ScriptedLLM):
    """Sums up, too."""

    summary: str | None = "Ada wants her bill."

    async def run_inference(self, context: LLMContext, *_: Any, **__: Any) -> str | None:
        if self.summary is None:
            raise OSError("no answer")
        return self.summary


def who(context: LLMContext) -> str | Tool:
    """Who answers, and what they know; or the tool that the caller names, with what follows as whom to call."""
    messages: list[Any] = [message for message in context.get_messages() if isinstance(message, dict)]
    said = [str(one["content"]) for one in messages if one["role"] == "user"]
    if messages[-1]["role"] == "user" and said[-1].startswith("use "):
        _, tool, *to = said[-1].split()
        return Tool(tool, to=" ".join(to)) if to else Tool(tool)
    return f"{messages[0]['content']} here, knowing {len(said)} turns."


def billing_with(**more: Any) -> Persona:
    options: dict[str, Any] = {"instructions": "Billing", "voice": "amy", "introduction": "Billing speaking."}
    return Persona(name="billing", **(options | more))


class Desk:
    """A bot with a tool that hands over to billing, and what happened in it."""

    def __init__(
        self, *, context: HandOffContext = "keep", model: type[ScriptedLLM] = Model, **billing: Any
    ) -> None:
        self.spoken: list[tuple[str, str]] = []
        self.seen: list[tuple[set[str], list[str]]] = []
        self.used: list[str] = []
        self.refused: list[str] = []
        self._context = context
        self._model = model
        self._billing = billing
        self.during: Callable[[Call], Any] | None = None

    async def bot(self, call: Call) -> None:
        async def look_up(params: FunctionCallParams) -> str:
            """Look up a bill."""
            self.used.append("look_up")
            return "nine dollars"

        async def open_hours(params: FunctionCallParams) -> str:
            """Say when it is open."""
            self.used.append("open_hours")
            return "always"

        back = hand_off_call({"desk": None}, context=self._context)
        billing = billing_with(tools=[look_up, back], **self._billing)
        agent = VoiceAgent(
            instructions="Desk",
            greeting="Desk speaking.",
            tools=[open_hours, hand_off_call({"billing": billing}, context=self._context)],
            call=call,
        )
        if self.during is not None:
            self.during(call)
        await agent.Action(
            stt=ScriptedSTT(Transcripts(latency=0.2), spoken=lambda start, end: ""),
            llm=self._model(Replies(otherwise=self.answer, latency=0.3)),
            tts=Voices(self.spoken),
        )
        await agent.start()

    def answer(self, context: LLMContext) -> str | Tool:
        messages: list[Any] = [message for message in context.get_messages() if isinstance(message, dict)]
        self.seen.append((tools_of(context), [f"{one['role']}: {one.get('content')}" for one in messages]))
        return who(context)

    def call(self, words: Sequence[str], **more: Any) -> SimulatedCall:
        async def caller(line: CallerLine) -> None:
            for text in words:
                await line.my_turn()
                await line.say(RECORDING, text=text)
            await line.my_turn()

        return simulate(
            self.bot, caller, providers=Providers(stt=Transcripts(latency=0.2)), limit_s=120, **more
        )


TO_BILLING = "use hand_off_call billing"
BACK = "use hand_off_call desk"
