"""Samples in the manner of those that Piopiy has published, and what stands in for their providers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

SAMPLES = Path(__file__).parent / "samples"

SDKS = {
    "pipecat.services.deepgram.stt": ("DeepgramSTTService", ScriptedSTT),
    "pipecat.services.azure.stt": ("AzureSTTService", ScriptedSTT),
    "pipecat.services.google.stt": ("GoogleSTTService", ScriptedSTT),
    "pipecat.services.speechmatics.stt": ("SpeechmaticsSTTService", ScriptedSTT),
    "pipecat.services.whisper.stt": ("WhisperSTTService", ScriptedSTT),
    "pipecat.services.anthropic.llm": ("AnthropicLLMService", ScriptedLLM),
    "pipecat.services.google.llm": ("GoogleLLMService", ScriptedLLM),
    "pipecat.services.azure.tts": ("AzureTTSService", ToneTTS),
    "pipecat.services.google.tts": ("GoogleTTSService", ToneTTS),
    "pipecat.services.kokoro.tts": ("KokoroTTSService", ToneTTS),
}
"""Modules that need the SDK of a provider, which is not installed for tests: a class of the same kind for each."""


@pytest.fixture
def sdks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the modules of providers be imported without their SDKs. What they connect to is scripted anyway."""
    for name, (attribute, base) in SDKS.items():
        module = ModuleType(name)
        setattr(module, attribute, _of_any_arguments(attribute, base))
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, name.replace("pipecat", "piopiy"), raising=False)
    yield
    for name in SDKS:
        sys.modules.pop(name.replace("pipecat", "piopiy"), None)


def _of_any_arguments(name: str, base: Any) -> type:
    class Service(base):
        class InputParams:
            def __init__(self, **values: object) -> None:
                self.values = values

        def __init__(self, *_: Any, **options: Any) -> None:
            super().__init__(*([] if base is ToneTTS else [[]]))
            self.options = options

    Service.__name__ = name
    return Service
