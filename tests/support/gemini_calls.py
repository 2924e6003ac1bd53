"""Calls in virtual time to a bot whose model is Google's Gemini Live, at the server for tests."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

from google.genai.types import HttpOptions
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.testing import GeminiLiveServer
from tests.support.realtime_calls import Case

__all__ = ["HALF_CASCADE", "MODELS", "GeminiCase", "gemini_service", "http_options"]

MODELS = ["models/gemini-2.5-flash-native-audio", "models/gemini-3.1-flash-live-preview"]
HALF_CASCADE = "models/gemini-2.0-flash-live-001"
"""It answers in text, too."""


@cache
def _no_tls() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_options(url: str) -> HttpOptions:
    """Return options for the server for tests.

    Where it has no TLS they say so: else each client reads the certificates of all authorities, three times, which
    takes 0.1 s of a processor.
    """
    if url.startswith("https:"):
        return HttpOptions(base_url=url)
    verified = {"verify": _no_tls()}
    return HttpOptions(base_url=url, client_args=verified, async_client_args=verified | {"ssl": _no_tls()})


def gemini_service(url: str, model: str = MODELS[0]) -> GeminiLiveLLMService:
    """Return pipecat's service, at an address."""
    return GeminiLiveLLMService(
        api_key="none",
        http_options=http_options(url),
        settings=GeminiLiveLLMService.Settings(model=model),
    )


class GeminiCase(Case):
    """A bot whose model is Google's."""

    make_server = GeminiLiveServer
    heard_at_least_s = 4.0  # it hears the caller's turns only
    keeps_session = False
    other_voice = "Kore"

    def make_service(self, **options: Any) -> LLMService[Any]:
        return gemini_service(self.server.url, options.get("model", MODELS[0]))

    @property
    def known_tools(self) -> list[str]:
        return [tool["name"] for tool in self.server.session.tools()]

    @property
    def voice(self) -> str:
        return str(self.server.session.voice)

    def assert_told(self, heard: str) -> None:
        told = [one["content"] for one in self.server.session.conversation() if one["role"] == "user"]
        assert any(text.endswith(f"no more than this: {heard}") for text in told)
