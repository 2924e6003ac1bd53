"""The table of all services that can be chosen by name: what each needs, and how it is built. `providers.py` uses it.

A provider's SDK is imported when its service is built and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from piopiy_pipeline.services.offline_models import ESPEAK_VOICE, WHISPER_MODEL, whisper_folder
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook

__all__ = ["PROVIDERS", "Environment", "Kind", "Provider", "ProviderError", "WantedService", "read_playbook"]

Kind = Literal["stt", "tts", "llm"]
Environment = Mapping[str, str]


class ProviderError(ValueError):
    """A provider that is not known, not installed or has no key. The message says what to do."""


@dataclass(frozen=True, slots=True)
class WantedService:
    """What a row of the table builds a service from."""

    env: Environment
    hot_words: tuple[str, ...]
    playbook: Path | None


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of the table: one provider of one kind of service."""

    kind: Kind
    name: str
    extra: str
    """The extra of this distribution that installs it."""
    needs: tuple[str, ...]
    """The modules that must be installed."""
    keys: tuple[str, ...]
    """The environment variables that it must have."""
    make: Callable[[WantedService], Any]
    """Builds the service. Imports the SDK."""
    offline: bool = False
    """Whether it runs on this machine, without an account. The first of a kind that is installed is the default."""


def _moonshine(wanted: WantedService) -> Any:
    from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService

    names = read_playbook(wanted.playbook).hot_words if wanted.playbook else ()
    return MoonshineSTTService(
        language=wanted.env.get("MOONSHINE_LANGUAGE") or "en", hot_words=(*names, *wanted.hot_words)
    )


def _deepgram(wanted: WantedService) -> Any:
    from pipecat.services.deepgram.stt import DeepgramSTTService

    return DeepgramSTTService(api_key=wanted.env["DEEPGRAM_API_KEY"])


def _openai_stt(wanted: WantedService) -> Any:
    from pipecat.services.openai.stt import OpenAISTTService

    return OpenAISTTService(api_key=wanted.env["OPENAI_API_KEY"])


def _whisper(wanted: WantedService) -> Any:
    from pipecat.services.whisper.stt import WhisperSTTService

    model = wanted.env.get("WHISPER_MODEL") or WHISPER_MODEL
    folder = whisper_folder(model)
    if folder is None:
        raise ProviderError(
            f"whisper: the model {model!r} is not on this machine: await prepare() before the first call, "
            "which downloads it, or name a folder with WHISPER_MODEL"
        )
    return WhisperSTTService(settings=WhisperSTTService.Settings(model=str(folder)))


def _espeak(wanted: WantedService) -> Any:
    from piopiy_pipeline.services.tts.espeak import EspeakTTSService

    return EspeakTTSService(voice=wanted.env.get("ESPEAK_VOICE") or ESPEAK_VOICE)


def _cartesia(wanted: WantedService) -> Any:
    from pipecat.services.cartesia.tts import CartesiaTTSService

    voice = CartesiaTTSService.Settings(voice=wanted.env["CARTESIA_VOICE_ID"])
    return CartesiaTTSService(api_key=wanted.env["CARTESIA_API_KEY"], settings=voice)


def _openai_tts(wanted: WantedService) -> Any:
    from pipecat.services.openai.tts import OpenAITTSService

    return OpenAITTSService(api_key=wanted.env["OPENAI_API_KEY"])


def _piper(wanted: WantedService) -> Any:
    from piopiy_pipeline.services.tts.piper import PiperTTSService

    return PiperTTSService(voice=wanted.env.get("PIPER_VOICE") or None)


def _playbook_llm(wanted: WantedService) -> Any:
    from piopiy_pipeline.services.playbook.service import PlaybookLLMService

    if wanted.playbook is None:
        raise ProviderError(
            "--llm playbook needs a playbook file: from_environment(playbook=Path(...)), "
            "or choose a language model with --llm or PIOPIY_LLM"
        )
    return PlaybookLLMService(read_playbook(wanted.playbook))


def _openai_llm(wanted: WantedService) -> Any:
    from pipecat.services.openai.llm import OpenAILLMService

    env = wanted.env
    base_url = env.get("LLM_BASE_URL") or None  # an empty one is none: a template of settings has it so
    key = env.get("OPENAI_API_KEY")
    if not key:
        if not base_url:
            raise ProviderError("openai: OPENAI_API_KEY is not set, and no LLM_BASE_URL that needs none")
        key = "none"  # the SDK refuses to be made without one; local servers do not look at it
    model = env.get("LLM_MODEL")
    settings = OpenAILLMService.Settings(model=model) if model else None
    return OpenAILLMService(api_key=key, base_url=base_url, settings=settings)


def _anthropic(wanted: WantedService) -> Any:
    from pipecat.services.anthropic.llm import AnthropicLLMService

    model = wanted.env.get("LLM_MODEL")
    settings = AnthropicLLMService.Settings(model=model) if model else None
    return AnthropicLLMService(api_key=wanted.env["ANTHROPIC_API_KEY"], settings=settings)


def _ollama(wanted: WantedService) -> Any:
    from pipecat.services.ollama.llm import OLLamaLLMService

    url = wanted.env.get("LLM_BASE_URL") or "http://localhost:11434/v1"
    model = wanted.env.get("LLM_MODEL")
    settings = OLLamaLLMService.Settings(model=model) if model else None
    return OLLamaLLMService(base_url=url, settings=settings)


PROVIDERS: tuple[Provider, ...] = (
    Provider("stt", "moonshine", "moonshine", (), (), _moonshine, offline=True),
    Provider("stt", "deepgram", "deepgram", ("deepgram",), ("DEEPGRAM_API_KEY",), _deepgram),
    Provider("stt", "openai", "openai", ("openai",), ("OPENAI_API_KEY",), _openai_stt),
    Provider("stt", "whisper", "whisper", ("faster_whisper",), (), _whisper, offline=True),
    Provider("tts", "piper", "piper", ("piper",), (), _piper, offline=True),
    Provider("tts", "espeak", "espeak", ("espeakng_loader",), (), _espeak, offline=True),
    Provider("tts", "cartesia", "cartesia", (), ("CARTESIA_API_KEY", "CARTESIA_VOICE_ID"), _cartesia),
    Provider("tts", "openai", "openai", ("openai",), ("OPENAI_API_KEY",), _openai_tts),
    Provider("llm", "playbook", "offline", (), (), _playbook_llm, offline=True),
    Provider("llm", "openai", "openai", ("openai",), (), _openai_llm),
    Provider("llm", "anthropic", "anthropic", ("anthropic",), ("ANTHROPIC_API_KEY",), _anthropic),
    Provider("llm", "ollama", "openai", ("openai",), (), _ollama),
)
"""Every service that can be chosen by name. What is chosen where none is named, `chosen` says."""


def read_playbook(path: Path) -> Dialogue:
    """Return a playbook. The file is read again only when it has changed."""
    try:
        state = path.stat()
    except OSError:
        return _read_playbook(path, 0, 0)  # says what is wrong with it
    return _read_playbook(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read_playbook(path: Path, _changed_ns: int, _size: int) -> Dialogue:
    return Dialogue(load_playbook(path))
