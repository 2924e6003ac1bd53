"""Has the speech-to-speech service of a bot talk to a server of the test's.

The service is the bot's own, with its own client: only its address is another. All agents of a call share the server,
as they share the provider in production.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.testing.line.spoken_words import Spoken
from piopiy_pipeline.testing.realtime.dialect_servers import server_for
from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeServer
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts
from piopiy_pipeline.testing.scripted.scripted_tts import Voice

__all__ = ["RedirectedServices"]


class RedirectedServices:
    """The server of one call.

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
        self._server: OpenAIRealtimeServer | None = None

    def redirect(self, service: FrameProcessor, *, hears: bool, speaks: bool) -> None:
        """Change the address of a service that has not connected yet.

        Args:
            service: The speech-to-speech service.
            hears: Whether the server transcribes the caller as `ears` says.
            speaks: Whether it sounds as `voice` says.

        Raises:
            StageError: The service has another protocol than OpenAI's, and none that is like it.
        """
        server = server_for(service)
        if server is None:
            raise StageError(
                f"Providers: {type(service).__name__} has another protocol than OpenAI's, which llm= speaks: point "
                "it at a server of its own where you make it (testing.GeminiLiveServer for Google's); leave llm out",
                "llm",
            )
        if self._server is None:
            self._server = server(
                self._replies,
                voice=self._voice if speaks else None,
                ears=self._ears if hears else None,
                spoken=self._spoken,
                seed=self._seed,
            )
            self._server.open()
        address: Any = service
        query = str(address.base_url).partition("?")[2]
        address.base_url = f"{self._server.url}?{query}" if query else self._server.url

    async def close(self) -> None:
        """End the server."""
        if self._server is not None:
            await self._server.stop()
