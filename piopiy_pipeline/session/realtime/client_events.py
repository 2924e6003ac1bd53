"""The events that a call sends to the provider of a speech-to-speech model, and the gate that all events pass.

The gate stands around the service's public `send_client_event`. pipecat's own truncation goes by the time that has
passed since the first audio came, and speech is sent ahead of the moment at which it is heard: the gate drops it, and
the call sends one with the position that was heard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.compat import realtime

__all__ = ["ClientEvent", "EventGate"]

CREATE, UPDATE, TRUNCATE, CANCEL = (
    "response.create",
    "session.update",
    "conversation.item.truncate",
    "response.cancel",
)


class ClientEvent:
    """An event of the call's own: to the service like one of pipecat's.

    Args:
        type: Its type, such as ``conversation.item.truncate``.
        **fields: The rest of it, as the provider's protocol has it.
    """

    def __init__(self, type: str, **fields: Any) -> None:
        self.type = type
        self._fields = fields

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """Return the event as it is sent."""
        return {"type": self.type, **self._fields}


class EventGate:
    """Sees every event on its way to the provider.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Called when an event cannot be sent because the connection is gone.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._send = service.send_client_event
        self._asked = asked
        self._lost = lost
        self.session: Callable[[dict[str, Any]], None] | None = None
        """Changes the settings of the session on their way."""
        self.opens_only = False
        """Whether the next request for an answer is none: the conversation is told the provider, and that is all."""
        self.instructions: str | None = None
        """What the next answer is told beyond the conversation."""
        self.spares = False
        """Whether the answer under way must not be cancelled."""
        service.send_client_event = self.send

    async def send(self, event: Any) -> None:
        """Send an event, unless it is one that must not go or cannot."""
        own = isinstance(event, ClientEvent)
        if (event.type == TRUNCATE and not own) or (event.type == CANCEL and self.spares):
            return
        if event.type == CREATE and self.opens_only:
            self.opens_only = False
            realtime.answer_given_up(self._service)
            return
        if not realtime.is_connected(self._service):
            self._lost()
            return
        if event.type == UPDATE and self.session is not None:
            settings = event.model_dump(exclude_none=True)
            self.session(settings["session"])
            event = ClientEvent(UPDATE, **{name: value for name, value in settings.items() if name != "type"})
        if event.type == CREATE:
            wanted, self.instructions = self.instructions, None
            if wanted is not None:
                response = {"instructions": wanted, "tool_choice": "none"}
                event = ClientEvent(CREATE, response=response)
            self._asked()
        await self._send(event)
