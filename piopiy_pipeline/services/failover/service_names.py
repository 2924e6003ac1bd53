"""`names_of`: what the services of one place of the chain are called, where a person reads of them.

pipecat numbers services as they are made (``OpenAILLMService#7``), which tells nobody which of two it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.compat.pipecat import provider_of
from piopiy_pipeline.metrics.agent_counts import COUNTS

__all__ = ["ServiceKind", "count_failover", "kind_of", "names_of", "provider_name"]

ServiceKind = Literal["stt", "llm", "tts"]

_NUMBERED = re.compile(r"#\d+$")
_KINDS: tuple[tuple[type[FrameProcessor], ServiceKind], ...] = (
    (STTService, "stt"),
    (LLMService, "llm"),
    (TTSService, "tts"),
)
_SUFFIX = re.compile(r"(HTTP|Http)?(STT|LLM|TTS)?(Service)?$")
_PROVIDERS = {
    "awsbedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "googlevertex": "gcp.vertex_ai",
    "grok": "x_ai",
    "mistral": "mistral_ai",
}
"""OpenTelemetry's names of providers, where they are others than those of pipecat's classes."""


def names_of(services: Sequence[FrameProcessor]) -> dict[FrameProcessor, str]:
    """Return a name for each of these services, all of them different.

    Args:
        services: The services of one place, in their order.

    Returns:
        The name that an author has given (``OpenAILLMService(name="cheap")``), else the class; of several of one class
        with what tells them apart: the model, the voice, the host of the address, or else the place in the order.
    """
    names: dict[FrameProcessor, str] = {}
    for service in services:
        alike = [other for other in services if _title(other) == _title(service)]
        parts = [
            part
            for part, others in zip(_parts(service), zip(*map(_parts, alike), strict=True), strict=True)
            if part and len(set(others)) > 1
        ]
        names[service] = " ".join([_title(service), *parts])
    for name in set(names.values()):
        same = [service for service in services if names[service] == name]
        if len(same) > 1:
            for number, service in enumerate(same, 1):
                names[service] = f"{name} ({number} of {len(same)})"
    return names


def _title(service: FrameProcessor) -> str:
    kind = type(service).__name__
    return kind if _NUMBERED.sub("", service.name) == kind else service.name


def _parts(service: FrameProcessor) -> tuple[str, str, str]:
    """Return the model, the voice, and the host of the address, as far as they are known."""
    _, model, voice, address = provider_of(service)
    host = urlsplit(address).netloc if "//" in address else address
    return model, voice, f"at {host.rpartition('@')[2]}" if host else ""


def kind_of(stage: FrameProcessor) -> ServiceKind | None:
    """Return what a stage is for, if it is a provider's service."""
    return next((kind for base, kind in _KINDS if isinstance(stage, base)), None)


def provider_name(service: FrameProcessor) -> str:
    """Return the name of a provider as metrics have it: that of the class, in small letters, without what it is for.

    Of language models it is a value of ``gen_ai.provider.name``, where OpenTelemetry has one.
    """
    name = _SUFFIX.sub("", type(service).__name__).lower()
    return _PROVIDERS.get(name, name) if isinstance(service, LLMService) else name


def count_failover(service: FrameProcessor) -> None:
    """Count that another service took the place of this one."""
    if (kind := kind_of(service)) is not None:
        COUNTS.failed_over(kind, provider_name(service))
