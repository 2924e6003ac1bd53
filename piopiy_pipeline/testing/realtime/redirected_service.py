"""Has the speech-to-speech service of a bot talk to a server of the test's.

The service is the bot's own, with its own client: only its address is another. All agents of a call share the server,
as they share the provider in production.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.services.realtime_services import is_gemini_live, is_nova_sonic, is_ultravox
from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.realtime.dialect_servers import server_for
from piopiy_pipeline.testing.realtime.gemini_live import GeminiLiveServer
from piopiy_pipeline.testing.realtime.nova_sonic import NovaSonicServer
from piopiy_pipeline.testing.realtime.ultravox import UltravoxServer
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice

__all__ = ["RedirectedServices"]


class RedirectedServices:
    """The servers of one call, one a protocol.

    Args:
        replies: What its model says and does.
        voice: How it sounds, unless the chain has a TTS.
        ears: How it hears, unless the chain has an STT.
        spoken: Tells what the caller says.
        seed: The same seed gives the same latencies.
    """

    def __init__(
        self, replies: Replies, *, voice: Voice | None, ears: Transcripts | None, spoken: Spoken, seed: int
    ) -> None:
        self._replies = replies
        self._voice = voice
        self._ears = ears
        self._spoken = spoken
        self._seed = seed
        self._servers: dict[type[Any], Any] = {}

    def redirect(self, service: FrameProcessor, *, hears: bool, speaks: bool) -> None:
        """Change the address of a service that has not connected yet.

        Args:
            service: The speech-to-speech service.
            hears: Whether the server transcribes the caller as `ears` says.
            speaks: Whether it sounds as `voice` says.

        Raises:
            StageError: It is not known how, for this service.
        """
        if is_gemini_live(service):
            from piopiy_pipeline.compat.gemini_connection import lead_to  # it imports the provider's client

            lead_to(service, self._server_of(GeminiLiveServer, hears=hears, speaks=speaks).url)
            return
        address: Any = service
        if is_ultravox(service):
            address.api_url = self._server_of(UltravoxServer, hears=hears, speaks=speaks).api_url
            return
        if is_nova_sonic(service):
            address.create_client = self._server_of(NovaSonicServer, hears=hears, speaks=speaks).client
            return
        kind = server_for(service)
        if kind is None:
            raise StageError(
                f"Providers: {type(service).__name__} has a protocol that llm= does not speak: "
                "point it at a server of its own where you make it; leave llm out",
                "llm",
            )
        server = self._server_of(kind, hears=hears, speaks=speaks)
        query = str(address.base_url).partition("?")[2]
        address.base_url = f"{server.url}?{query}" if query else server.url

    def _server_of(self, kind: type[Any], *, hears: bool, speaks: bool) -> Any:
        if kind not in self._servers:
            self._servers[kind] = kind(
                self._replies,
                voice=self._voice if speaks else None,
                ears=self._ears if hears else None,
                spoken=self._spoken,
                seed=self._seed,
            ).open()
        return self._servers[kind]

    async def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            await server.stop()
