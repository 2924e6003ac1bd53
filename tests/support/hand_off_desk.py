"""A bot that hands its calls over to billing, with a model that hears and speaks itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session.hand_off.conversation_change import HandOffContext
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
)
from piopiy_pipeline.tools import Persona, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import tools_of
from tests.support.realtime_calls import Case
from tests.support.told_notes import without_notes
from tests.support.virtual import YES

__all__ = ["BACK", "INTRODUCTION", "SUMMARY", "TO_BILLING", "Desk"]

TO_BILLING = "use hand_off_call billing"
BACK = "use hand_off_call desk"
INTRODUCTION = "Billing speaking."
SUMMARY = "Ada wants her bill."


class Desk:
    """A bot that hands over to billing, and what its model was told whenever it answered."""

    def __init__(
        self, *words: str, context: HandOffContext = "keep", kind: type[Case] = Case, **billing: Any
    ) -> None:
        self.case = kind()
        self.case.server = kind.make_server(
            Replies(otherwise=self._answer), ears=Transcripts(texts=list(words), latency=0.2)
        )
        self.words = words
        self.context: HandOffContext = context
        self.billing = billing
        self.answers: list[tuple[str, str, set[str], list[str]]] = []
        """Instructions, voice, tools and messages of each."""
        self.used: list[str] = []
        self.summary = SUMMARY
        self.summarise: Callable[[], str] = lambda: self.summary

    def _answer(self, context: LLMContext) -> str | Tool:
        messages: list[Any] = without_notes(context).get_messages()
        if any(str(one.get("content")).startswith("Below is the beginning") for one in messages):
            return self.summarise()
        told = [f"{one['role']}: {one.get('content')}" for one in messages]
        who, said = (
            str(messages[0]["content"]),
            [str(one.get("content")) for one in messages if one["role"] == "user"],
        )
        self.answers.append((who, self.case.voice, tools_of(context), told))
        if messages[-1]["role"] == "user" and said[-1].startswith("use "):
            _, tool, *to = said[-1].split()
            return Tool(tool, to=" ".join(to)) if to else Tool(tool)
        return f"{who} here."

    def agent(self) -> dict[str, Any]:
        async def look_up(params: FunctionCallParams) -> str:
            """Look up a bill."""
            self.used.append("look_up")
            return "nine dollars"

        async def open_hours(params: FunctionCallParams) -> str:
            """Say when it is open."""
            self.used.append("open_hours")
            return "always"

        self.persona = Persona(
            **{
                "name": "billing",
                "instructions": "Billing",
                "introduction": INTRODUCTION,
                "tools": [look_up, hand_off_call({"desk": None}, context=self.context)],
                **self.billing,
            }
        )
        tools = [open_hours, hand_off_call({"billing": self.persona}, context=self.context)]
        return {"instructions": "Desk", "greeting": "Desk speaking.", "tools": tools}

    def call(
        self,
        losses: Sequence[AgentLoss] = (),
        watch: Callable[[VoiceAgent], None] = lambda _: None,
        caller: Any = None,
        **more: Any,
    ) -> SimulatedCall:
        if caller is None:
            caller = Caller()
            for _ in self.words:
                caller = caller.say(YES)
        return self.case.call(caller, agent=self.agent(), losses=losses, watch=watch, **more)
