"""Calls in virtual time to a bot whose model is Google's Gemini Live, at the server for tests."""

from __future__ import annotations

from typing import Any

from google.genai.types import HttpOptions
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.testing import GeminiLiveServer
from tests.support.realtime_calls import Case

__all__ = ["HALF_CASCADE", "MODELS", "GeminiCase", "gemini_service"]

MODELS = ["models/gemini-2.5-flash-native-audio", "models/gemini-3.1-flash-live-preview"]
HALF_CASCADE = "models/gemini-2.0-flash-live-001"
"""It answers in text, too."""


def gemini_service(url: str, model: str = MODELS[0]) -> GeminiLiveLLMService:
    """Return pipecat's service, at an address."""
    return GeminiLiveLLMService(
        api_key="none",
        http_options=HttpOptions(base_url=url),
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
