"""Samples in the manner of those that Piopiy has published, and what stands in for their providers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

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


@cache  # a key takes a tenth of a second
def _service_account() -> dict[str, str]:
    """Return a key of Google's form, made here: their classes read it, and sign nothing with it before they connect."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "type": "service_account",
        "project_id": "flowers",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "bot@flowers.example",
        "token_uri": "https://oauth2.example/token",
    }


@pytest.fixture
def sdks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let the modules of providers be imported without their SDKs. What they connect to is scripted anyway.

    Where an SDK is installed, the module is pipecat's own, which checks the samples' arguments. Google's classes find a
    key file where the samples have it, and Kokoro's a model that is none: that would be downloaded (300 MB).
    """
    monkeypatch.chdir(tmp_path)
    for name, (attribute, base) in SDKS.items():
        if _is_installed(name):
            if "google" in name:
                Path("key.json").write_text(json.dumps(_service_account()))
            elif "kokoro" in name:
                monkeypatch.setattr(f"{name}._ensure_model_files", lambda *_: None)
                monkeypatch.setattr(f"{name}.Kokoro", lambda *_: SimpleNamespace(voices=["af_sarah"]))
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
