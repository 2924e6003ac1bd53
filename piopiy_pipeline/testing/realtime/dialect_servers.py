"""Servers of the providers that follow OpenAI's protocol, each in its own dialect."""

from __future__ import annotations

from collections.abc import Mapping

from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeServer, OpenAIRealtimeSession
from piopiy_pipeline.testing.realtime.server_dialects import GrokDialect, InworldDialect, VoiceLiveDialect

__all__ = ["GrokRealtimeServer", "InworldRealtimeServer", "VoiceLiveServer", "server_for"]


class _GrokSession(OpenAIRealtimeSession):
    dialect = GrokDialect()


class GrokRealtimeServer(OpenAIRealtimeServer):
    """xAI's Voice Agent API, for `GrokRealtimeLLMService(base_url=server.url)`."""

    session_class = _GrokSession


class _InworldSession(OpenAIRealtimeSession):
    dialect = InworldDialect()


class InworldRealtimeServer(OpenAIRealtimeServer):
    """Inworld's Realtime API, for `InworldRealtimeLLMService(base_url=server.url)`."""

    session_class = _InworldSession
    path = "/api/v1/realtime/session"


class _VoiceLiveSession(OpenAIRealtimeSession):
    dialect = VoiceLiveDialect()


class VoiceLiveServer(OpenAIRealtimeServer):
    """Azure Voice Live, for `AzureVoiceLiveLLMService(endpoint=server.url)`.

    pipecat's service insists on TLS, which a server within a virtual loop does without: for the virtual clock only.
    """

    session_class = _VoiceLiveSession
    path = "/voice-live/realtime"


_SERVERS: Mapping[str, type[OpenAIRealtimeServer]] = {
    "OpenAIRealtimeLLMService": OpenAIRealtimeServer,
    "GrokRealtimeLLMService": GrokRealtimeServer,
    "InworldRealtimeLLMService": InworldRealtimeServer,
    "AzureVoiceLiveLLMService": VoiceLiveServer,
}


def server_for(service: object) -> type[OpenAIRealtimeServer] | None:
    """Return the server that a service of pipecat's talks to; None: it has another protocol."""
    return next(
        (_SERVERS[each.__name__] for each in type(service).__mro__ if each.__name__ in _SERVERS), None
    )
