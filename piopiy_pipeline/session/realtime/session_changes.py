"""`SessionChanges`: the session of a speech-to-speech model follows a conversation that code has changed.

The provider keeps the conversation, and hears of nothing that is done to the one on this side. Instructions, tools and
messages that are new are told the session that stands. A voice is for as long as a session lasts, and what is said
cannot be unsaid: another voice, or a conversation that begins anew, is another session. So is every change for a
provider that is told instructions and tools only when its session is set up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.tool_options import register_advertised
from piopiy_pipeline.services.realtime_dialects import OPENAI, dialect_of
from piopiy_pipeline.session.model.system_message import system_message
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider

__all__ = ["OpenSession", "SessionChanges"]


class OpenSession(Protocol):
    """What a change needs of the run."""

    begun: bool
    """Whether the provider was told the conversation, or is being told."""

    @property
    def stands(self) -> bool:
        """Whether the provider knows the conversation."""

    @property
    def begun_with(self) -> Sequence[Any]:
        """The messages that the session was begun with."""

    async def until_stands(self) -> None:
        """Wait until the provider knows the conversation, in bounded time."""

    async def open_anew(self) -> None:
        """Open another session with the conversation as it stands now."""


class SessionChanges:
    """Brings one session in line.

    Args:
        session: The session.
        provider: Its provider.
        service: The model's service.
        context: The conversation.
    """

    def __init__(
        self, session: OpenSession, provider: RealtimeProvider, service: LLMService[Any], context: LLMContext
    ) -> None:
        self._session = session
        self._provider = provider
        self._service = service
        self._context = context
        self._voice: str | None = None
        self._changed = False
        provider.change = self._in_settings

    async def follow(self, before: Sequence[Any], voice: str | None = None) -> None:
        """Bring the session in line. Before there is one, it is begun that way.

        Args:
            before: The messages before they were changed.
            voice: The provider's name of a voice. None: the one that the service was made with.
        """
        self._changed = True
        other_voice, self._voice = voice != self._voice, voice
        register_advertised(self._service, self._context)
        self._provider.renew(self._context, voice)
        if not self._session.begun:
            return
        if not self._session.stands:
            await self._session.until_stands()
            before = self._session.begun_with
        now = self._context.get_messages()
        known, stay = {id(one) for one in before}, {id(one) for one in now}
        gone = any(id(one) not in stay for one in _without_instructions(before))
        if other_voice or gone or not self._provider.tells_changes:
            await self._session.open_anew()
            return
        await self._provider.update()
        await self._provider.tell([one for one in _without_instructions(now) if id(one) not in known])

    async def follow_flow(self, before: Sequence[Any]) -> None:
        """Bring the session in line with another node of a flow. The voice stays."""
        await self.follow(before, self._voice)

    def _in_settings(self, session: dict[str, Any]) -> None:
        """Change the settings of the session on their way."""
        if not self._changed:
            return
        first = system_message(self._context)
        if first is not None:
            session["instructions"] = standard_message_text(first)
        session.setdefault("instructions", "")
        session.setdefault("tools", [])
        if self._voice is not None:
            (dialect_of(self._service) or OPENAI).put_voice(session, self._voice)


def _without_instructions(messages: Sequence[Any]) -> Sequence[Any]:
    first = messages[0] if messages else None
    return messages[1:] if isinstance(first, dict) and first.get("role") == "system" else messages
