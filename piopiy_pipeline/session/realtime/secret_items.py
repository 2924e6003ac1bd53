"""`SecretItems`: takes what was said while a secret was collected out of the conversation that a provider keeps."""

from __future__ import annotations

from typing import Any

from pipecat.services.llm_service import LLMService

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.held_turns import REDACTED
from piopiy_pipeline.session.realtime.openai_provider import OpenAIProvider

__all__ = ["SecretItems"]

ITEMS = 200
"""So many items of one collection are remembered: more than it has turns."""


class SecretItems:
    """Those of one call. The model hears the caller, and knows nothing of it when it is asked the next time.

    Args:
        state: Knows whether a secret is being collected.
        service: The model's service, before it runs.
        provider: Its provider.
    """

    def __init__(self, state: CallState, service: LLMService[Any], provider: OpenAIProvider) -> None:
        self._state = state
        self._provider = provider
        self._items: dict[str, bool] = {}  # and whether they are the caller's
        service.add_event_handler("on_conversation_item_created", self._item_created)

    async def _item_created(self, _service: Any, name: str, item: Any) -> None:
        held = self._state.held_turns
        if (
            held is not None
            and held.redact
            and item.type == "message"
            and not self._provider.has_named(name)
            and len(self._items) < ITEMS
        ):
            self._items[name] = item.role == "user"

    async def forget(self) -> None:
        """Take them out."""
        items, self._items = self._items, {}
        for name, by_caller in items.items():
            await self._provider.redact(name, REDACTED if by_caller else None)

    def session_is_new(self) -> None:
        """Take note that the provider has another conversation, which was made of what is no secret."""
        self._items.clear()
