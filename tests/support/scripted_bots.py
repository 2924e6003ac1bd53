"""A bot as an author writes it, with providers that no test can reach: what scripted ones replace."""

from __future__ import annotations

from typing import Any

from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

__all__ = ["Restaurant"]


class Unreachable(Exception):
    """A provider of the bot's own was used."""


class OwnLLM(ScriptedLLM):
    """The bot's LLM: it fails if it is ever asked."""

    def __init__(self) -> None:
        super().__init__([Unreachable("the bot's own LLM was asked")])


class Restaurant:
    """Takes bookings; remembers the services it made and the bookings it took.

    Args:
        greeting: What it says first.
        eager: As of `VoiceAgent.Action`. False where a test counts requests, which an answer ahead would be one of.
        **options: Of `VoiceAgent`.
    """

    def __init__(
        self, *, greeting: str | None = "Good day.", eager: bool | None = None, **options: Any
    ) -> None:
        self._options = {"greeting": greeting, **options}
        self._eager = eager
        self.stt: Any = None
        self.llm: Any = None
        self.tts: Any = None
        self.agent: VoiceAgent | None = None
        self.booked: list[dict[str, Any]] = []

    async def __call__(self, call: Call) -> CallEnd:
        async def book(params: FunctionCallParams, people: int, day: str) -> None:
            """Book a table.

            Args:
                people: How many will come.
                day: The day of the week.
            """
            self.booked.append({"people": people, "day": day})
            await params.result_callback({"booked": True})

        self.stt = self.stt or ScriptedSTT(["this is the bot's own STT"])
        self.llm = self.llm or OwnLLM()
        self.tts = self.tts or ToneTTS()
        self.agent = agent = VoiceAgent(instructions="Be brief.", tools=[book], call=call, **self._options)
        await agent.Action(stt=self.stt, llm=self.llm, tts=self.tts, eager=self._eager)
        await self.prepare(agent)
        return await agent.start()

    async def prepare(self, agent: VoiceAgent) -> None:
        """For a test: what its author does between `Action()` and `start()`."""
