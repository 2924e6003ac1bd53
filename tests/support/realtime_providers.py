"""Bots of all providers of speech-to-speech, each at the server for tests that speaks its protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pipecat.services.azure.voice_live.llm import AzureVoiceLiveLLMService
from pipecat.services.inworld.realtime.llm import InworldRealtimeLLMService
from pipecat.services.llm_service import LLMService
from pipecat.services.ultravox.llm import OneShotInputParams, UltravoxRealtimeLLMService
from pipecat.services.xai.realtime.llm import GrokRealtimeLLMService

from piopiy_pipeline.testing import (
    GrokRealtimeServer,
    InworldRealtimeServer,
    NovaSonicServer,
    UltravoxServer,
    VoiceLiveServer,
)
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.realtime_calls import Case

__all__ = [
    "PROVIDERS",
    "GrokCase",
    "InworldCase",
    "Kind",
    "NovaCase",
    "UltravoxCase",
    "VoiceLiveCase",
    "gemini_case",
]


class GrokCase(Case):
    """A bot whose model is xAI's."""

    make_server = GrokRealtimeServer

    def make_service(self, **options: Any) -> LLMService[Any]:
        return GrokRealtimeLLMService(api_key="none", base_url=self.server.url, **options)


class InworldCase(Case):
    """A bot whose model is Inworld's."""

    make_server = InworldRealtimeServer

    def make_service(self, **options: Any) -> LLMService[Any]:
        return InworldRealtimeLLMService(api_key="none", base_url=self.server.url, **options)


class VoiceLiveCase(Case):
    """A bot whose model is Azure Voice Live's."""

    make_server = VoiceLiveServer

    def make_service(self, **options: Any) -> LLMService[Any]:
        return AzureVoiceLiveLLMService(api_key="none", endpoint=self.server.url, **options)


class UltravoxCase(Case):
    """A bot whose model is Ultravox's."""

    make_server = UltravoxServer
    tells_usage = False
    keeps_session = False
    other_voice = "54ebeae1-88df-4d66-af13-6c41283b4332"

    def make_service(self, **options: Any) -> LLMService[Any]:
        service: Any = UltravoxRealtimeLLMService(params=OneShotInputParams(api_key="none", **options))
        service.api_url = self.server.api_url
        return service  # type: ignore[no-any-return]

    @property
    def known_tools(self) -> list[str]:
        return [
            one["temporaryTool"]["modelToolName"] for one in self.server.session.body.get("selectedTools", ())
        ]

    @property
    def voice(self) -> str:
        return str(self.server.session.voice)

    def assert_told(self, heard: str) -> None:
        told = [one["content"] for one in self.server.session.conversation() if one["role"] == "system"]
        assert any(text.endswith(f"no more than this: {heard}</instruction>") for text in told)
        (note,) = [one for one in self.server.session.received if one.kind == "user_text_message"]
        assert note.body["urgency"] == "later", "it asks for nothing"


class NovaCase(Case):
    """A bot whose model is Amazon's."""

    make_server: Any = NovaSonicServer
    keeps_session = False
    other_voice = "tiffany"

    def make_service(self, **options: Any) -> LLMService[Any]:
        provide_aws_sdk()
        from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService

        keys: dict[str, Any] = {"access_key_id": "none", "secret_access_key": "none", "region": "us-east-1"}
        service: Any = AWSNovaSonicLLMService(**keys, **options)
        service.create_client = self.server.client
        return service  # type: ignore[no-any-return]

    @property
    def known_tools(self) -> list[str]:
        tools = self.server.session.prompt.get("toolConfiguration", {}).get("tools", ())
        return [one["toolSpec"]["name"] for one in tools]

    @property
    def voice(self) -> str:
        return str(self.server.session.voice)

    def assert_told(self, heard: str) -> None:
        session = self.server.session
        told = [one["content"] for one in session.conversation() if one["role"] == "system"]
        assert any(text.endswith(f"no more than this: {heard}]") for text in told)
        texts = [one.body for one in session.received if one.kind == "textInput"]
        (note,) = [one for one in texts if heard in one["content"]]
        begun = [one.body for one in session.received if one.kind == "contentStart"]
        (start,) = [one for one in begun if one["contentName"] == note["contentName"]]
        assert start["interactive"] is False, "it asks for nothing"


def gemini_case() -> type[Case]:
    """Return the bot whose model is Google's, or skip the test if Google's client is not there."""
    pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
    from tests.support.gemini_calls import GeminiCase  # it imports the provider's client

    return GeminiCase


Kind = Callable[[], type[Case]]

PROVIDERS: dict[str, Kind] = {
    "openai": lambda: Case,
    "grok": lambda: GrokCase,
    "inworld": lambda: InworldCase,
    "voice_live": lambda: VoiceLiveCase,
    "gemini": gemini_case,
    "nova": lambda: NovaCase,
    "ultravox": lambda: UltravoxCase,
}
"""Each makes the bot of one, by name."""
