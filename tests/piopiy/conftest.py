"""Samples in the manner of those that Piopiy has published, and what stands in for their providers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
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
"""Modules that need the SDK of a provider, which tests do not install: a class of the same kind for each."""

WITH_FILES = ("pipecat.services.google.stt", "pipecat.services.google.tts", "pipecat.services.kokoro.tts")
"""Those whose class reads a key or loads a model when it is made."""


@pytest.fixture
def sdks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the modules of providers be imported without their SDKs. What they connect to is scripted anyway.

    Where an SDK is installed, the module is pipecat's own, which checks the samples' arguments.
    """
    for name, (attribute, base) in SDKS.items():
        if name not in WITH_FILES and _is_installed(name):
            continue
        module = ModuleType(name)
        setattr(module, attribute, _of_any_arguments(attribute, base))
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, name.replace("pipecat", "piopiy"), raising=False)
    yield
    for name in SDKS:
        sys.modules.pop(name.replace("pipecat", "piopiy"), None)


@cache
def _is_installed(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True


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
