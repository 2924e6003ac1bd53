"""Calls in virtual time to a bot whose model hears and speaks itself, at OpenAI's realtime server for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipecat.services.llm_service import LLMService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.testing import (
    AgentLoss,
    OpenAIRealtimeServer,
    Replies,
    SimulatedCall,
    Transcripts,
    simulate,
)
from piopiy_pipeline.testing.realtime.realtime_server import RealtimeServer
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["GREETING", "LONG", "Case"]

GREETING = "Good evening, how can I help you today?"
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


class Case:
    """A bot whose model is at a server of the test's, and a call to it."""

    make_server: type[RealtimeServer[Any]] = OpenAIRealtimeServer
    heard_at_least_s = 10.0
    """So much audio reaches the model in a call of two turns, in seconds."""
    tells_usage = True
    """Whether the provider tells what an answer has cost."""
    keeps_session = True
    """Whether a session takes other instructions and tools. If not, another one is opened for them."""
    other_voice = "cedar"
    """The provider's name of another voice than the first one."""

    def __init__(
        self,
        *replies: Any,
        texts: Sequence[str] | None = None,
        reply_faults: Mapping[int, Fault] | None = None,
        **options: Any,
    ) -> None:
        ears = Transcripts(texts=texts)
        self.server: Any = self.make_server(Replies(*replies, faults=reply_faults), ears=ears, **options)
        self.agents: list[VoiceAgent] = []
        """One for each process that had the call."""
        self.bot: Callable[[str], Awaitable[None]]
        self.agent: dict[str, Any] = {}
        """What later calls of `bot` give the agent otherwise."""
        self.action: dict[str, Any] = {}
        """What they give `Action` otherwise."""

    def call(
        self,
        caller: Any,
        *,
        agent: Mapping[str, Any] | None = None,
        action: Mapping[str, Any] | None = None,
        service: Mapping[str, Any] | None = None,
        watch: Callable[[VoiceAgent], None] = lambda _: None,
        run: Callable[[VoiceAgent], Awaitable[Any]] = VoiceAgent.start,
        losses: Sequence[AgentLoss] = (),
        record: Path | None = None,
        seed: int = 0,
    ) -> SimulatedCall:
        """Have a caller call the bot."""

        async def bot(call_id: str) -> None:
            if not self.server.address:
                await self.server.start()
            made = VoiceAgent(
                **{"instructions": "Be brief.", "greeting": GREETING, **(agent or {}), **self.agent}
            )
            self.agents.append(made)
            watch(made)
            llm = self.make_service(**(service or {}))
            await made.Action(**{"llm": llm, **(action or {}), **self.action})
            await run(made)

        self.bot = bot
        return simulate(bot, caller, seed=seed, losses=losses, record=record)

    def make_service(self, **options: Any) -> LLMService[Any]:
        """Make the provider's service of pipecat's."""
        return OpenAIRealtimeLLMService(api_key="none", base_url=self.server.url, **options)

    @property
    def known_tools(self) -> list[str]:
        """The names of the tools that the last session was told."""
        return [str(tool["name"]) for tool in self.server.session.config.body.get("tools") or ()]

    @property
    def voice(self) -> str:
        """The voice of the session that answers now."""
        return str(self.server.session.config.voice)

    def assert_told(self, heard: str) -> None:
        """Check that the model was told in words that no more than this was heard, and was asked for nothing."""
        raise NotImplementedError

    @property
    def context(self) -> list[Any]:
        """The conversation, as the last process has it."""
        context = self.agents[-1].context
        assert context is not None
        return context.get_messages()

    @property
    def said(self) -> list[Any]:
        """The words of the conversation."""
        return [message["content"] for message in self.context if message["role"] in ("user", "assistant")]
