"""Services by name: `--stt`, `--tts` and `--llm` of the command line, and what the environment asks for.

One table; a provider is one row. A provider's SDK is imported when it is chosen and not before: what
is missing is then said with the extra or the key that helps.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from piopiy_pipeline.services.piper_files import PiperVoiceMissing, find_piper_voice
from piopiy_pipeline.services.playbook.dialogue import Dialogue
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.phrases import expected_phrases

if TYPE_CHECKING:
    from pipecat.services.llm_service import LLMService
    from pipecat.services.stt_service import STTService
    from pipecat.services.tts_service import TTSService

__all__ = [
    "PROVIDERS",
    "Kind",
    "Provider",
    "ProviderError",
    "build",
    "check",
    "chosen",
    "from_environment",
    "names",
    "prepare",
]

Kind = Literal["stt", "tts", "llm"]
Environment = Mapping[str, str]


class ProviderError(ValueError):
    """A provider that is not known, not installed or has no key. The message says what to do."""


@dataclass(frozen=True, slots=True)
class _Wanted:
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
    make: Callable[[_Wanted], Any]
    """Builds the service. Imports the SDK."""
    offline: bool = False
    """Whether it runs on this machine, without an account. The first of a kind that is installed is the default."""


def _sphinx(wanted: _Wanted) -> Any:
    from piopiy_pipeline.services.sphinx import SphinxSTTService

    return SphinxSTTService((*(_playbook(wanted.playbook)[1] if wanted.playbook else ()), *wanted.hot_words))


def _deepgram(wanted: _Wanted) -> Any:
    from pipecat.services.deepgram.stt import DeepgramSTTService

    return DeepgramSTTService(api_key=wanted.env["DEEPGRAM_API_KEY"])


def _openai_stt(wanted: _Wanted) -> Any:
    from pipecat.services.openai.stt import OpenAISTTService

    return OpenAISTTService(api_key=wanted.env["OPENAI_API_KEY"])


def _whisper(wanted: _Wanted) -> Any:
    from pipecat.services.whisper.stt import WhisperSTTService

    model = wanted.env.get("WHISPER_MODEL", "base")
    return WhisperSTTService(settings=WhisperSTTService.Settings(model=model))


def _espeak(wanted: _Wanted) -> Any:
    from piopiy_pipeline.services.espeak import EspeakTTSService

    return EspeakTTSService(voice=wanted.env.get("ESPEAK_VOICE", "en-us"))


def _cartesia(wanted: _Wanted) -> Any:
    from pipecat.services.cartesia.tts import CartesiaTTSService

    voice = CartesiaTTSService.Settings(voice=wanted.env["CARTESIA_VOICE_ID"])
    return CartesiaTTSService(api_key=wanted.env["CARTESIA_API_KEY"], settings=voice)


def _openai_tts(wanted: _Wanted) -> Any:
    from pipecat.services.openai.tts import OpenAITTSService

    return OpenAITTSService(api_key=wanted.env["OPENAI_API_KEY"])


def _piper(wanted: _Wanted) -> Any:
    from piopiy_pipeline.services.piper import PiperTTSService

    return PiperTTSService(voice=wanted.env.get("PIPER_VOICE") or None)


def _playbook_llm(wanted: _Wanted) -> Any:
    from piopiy_pipeline.services.playbook.service import PlaybookLLMService

    if wanted.playbook is None:
        raise ProviderError(
            "--llm playbook needs a playbook file: from_environment(playbook=Path(...)), "
            "or choose a language model with --llm or PIOPIY_LLM"
        )
    return PlaybookLLMService(_playbook(wanted.playbook)[0])


def _openai_llm(wanted: _Wanted) -> Any:
    from pipecat.services.openai.llm import OpenAILLMService

    env = wanted.env
    base_url = env.get("LLM_BASE_URL")
    key = env.get("OPENAI_API_KEY")
    if not key:
        if not base_url:
            raise ProviderError("openai: OPENAI_API_KEY is not set, and no LLM_BASE_URL that needs none")
        key = "none"  # the SDK refuses to be made without one; local servers do not look at it
    model = env.get("LLM_MODEL")
    settings = OpenAILLMService.Settings(model=model) if model else None
    return OpenAILLMService(api_key=key, base_url=base_url, settings=settings)


def _anthropic(wanted: _Wanted) -> Any:
    from pipecat.services.anthropic.llm import AnthropicLLMService

    model = wanted.env.get("LLM_MODEL")
    settings = AnthropicLLMService.Settings(model=model) if model else None
    return AnthropicLLMService(api_key=wanted.env["ANTHROPIC_API_KEY"], settings=settings)


def _ollama(wanted: _Wanted) -> Any:
    from pipecat.services.ollama.llm import OLLamaLLMService

    url = wanted.env.get("LLM_BASE_URL", "http://localhost:11434/v1")
    model = wanted.env.get("LLM_MODEL")
    settings = OLLamaLLMService.Settings(model=model) if model else None
    return OLLamaLLMService(base_url=url, settings=settings)


PROVIDERS: tuple[Provider, ...] = (
    Provider("stt", "sphinx", "offline", ("pocketsphinx",), (), _sphinx, offline=True),
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


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of the providers of a kind, in the order of the table."""
    return tuple(provider.name for provider in PROVIDERS if provider.kind == kind)


def check(kind: Kind, name: str, env: Environment | None = None) -> list[str]:
    """Find what keeps a provider from being built. It imports nothing.

    Args:
        kind: ``"stt"``, ``"tts"`` or ``"llm"``.
        name: The provider's name.
        env: The environment variables. None: those of this process.

    Returns:
        Sentences that say what to do; empty if the provider can be built.

    Raises:
        ProviderError: The table has no such provider.
    """
    environment = os.environ if env is None else env
    provider = _find(kind, name)
    problems = [
        f"{name}: {module} is not installed: pip install 'piopiy-pipeline[{provider.extra}]'"
        for module in provider.needs
        if find_spec(module) is None
    ]
    problems += [f"{name}: {key} is not set" for key in provider.keys if not environment.get(key)]
    if (kind, name) == ("llm", "openai") and not (
        environment.get("OPENAI_API_KEY") or environment.get("LLM_BASE_URL")
    ):
        problems.append("openai: neither OPENAI_API_KEY nor LLM_BASE_URL is set")
    if (kind, name) == ("tts", "piper") and not problems:
        try:
            find_piper_voice(environment.get("PIPER_VOICE") or None)
        except PiperVoiceMissing as error:
            problems.append(str(error))
    return problems


@overload
def build(
    kind: Literal["stt"],
    name: str,
    *,
    hot_words: Iterable[str] = (),
    playbook: str | Path | None = None,
    env: Environment | None = None,
) -> STTService: ...
@overload
def build(
    kind: Literal["tts"],
    name: str,
    *,
    env: Environment | None = None,
) -> TTSService: ...
@overload
def build(
    kind: Literal["llm"],
    name: str,
    *,
    playbook: str | Path | None = None,
    env: Environment | None = None,
) -> LLMService[Any]: ...
def build(
    kind: Kind,
    name: str,
    *,
    hot_words: Iterable[str] = (),
    playbook: str | Path | None = None,
    env: Environment | None = None,
) -> Any:
    """Build a pipecat service by its provider's name.

    Args:
        kind: ``"stt"``, ``"tts"`` or ``"llm"``.
        name: The provider's name, one of `names`.
        hot_words: Names and other words that callers say and a recogniser cannot guess: people, dishes, streets.
            Those of the `playbook` are added. Only the offline recogniser listens for them.
        playbook: A playbook file: what `--llm playbook` answers from.
        env: The environment variables. None: those of this process.

    Raises:
        ProviderError: The name is not known, or an extra or a key is missing.
        PlaybookError: The playbook has a mistake.
    """
    environment = os.environ if env is None else env
    if problems := check(kind, name, environment):
        raise ProviderError("; ".join(problems))
    wanted = _Wanted(environment, tuple(hot_words), Path(playbook) if playbook else None)
    try:
        return _find(kind, name).make(wanted)
    except ImportError as error:
        extra = _find(kind, name).extra
        help_ = f"pip install 'piopiy-pipeline[{extra}]'"
        raise ProviderError(f"{name} cannot be imported ({error}): {help_}") from error


def chosen(kind: Kind, env: Environment | None = None) -> str:
    """Return the name of the provider that the environment asks for, or of the default one.

    PIOPIY_STT, PIOPIY_TTS and PIOPIY_LLM name it. An OPENAI_API_KEY or an LLM_BASE_URL makes `openai` the
    default model, and a PIPER_VOICE makes `piper` the default voice. Else it is the first of those that need no
    account and are installed; if none is, the first of them, and `build` says what to install.

    Args:
        kind: ``"stt"``, ``"tts"`` or ``"llm"``.
        env: The environment variables. None: those of this process.
    """
    environment = os.environ if env is None else env
    if name := environment.get(f"PIOPIY_{kind.upper()}"):
        return name
    if kind == "llm" and (environment.get("OPENAI_API_KEY") or environment.get("LLM_BASE_URL")):
        return "openai"
    if kind == "tts" and environment.get("PIPER_VOICE"):
        return "piper"
    offline = [provider.name for provider in PROVIDERS if provider.kind == kind and provider.offline]
    return next((name for name in offline if not check(kind, name, environment)), offline[0])


def from_environment(
    *, playbook: str | Path | None = None, hot_words: Iterable[str] = (), env: Environment | None = None
) -> tuple[STTService, LLMService[Any], TTSService]:
    """Build the three services of a call, those that `chosen` names.

    Args:
        playbook: A playbook file. It answers if no language model is chosen, and the offline recogniser listens
            for its names in any case.
        hot_words: As for `build`.
        env: The environment variables. None: those of this process.

    Returns:
        The speech-to-text service, the language model and the text-to-speech service.

    Raises:
        ProviderError: A name is not known, or an extra or a key is missing.
        PlaybookError: The playbook has a mistake.
    """
    return (
        build("stt", chosen("stt", env), hot_words=hot_words, playbook=playbook, env=env),
        build("llm", chosen("llm", env), playbook=playbook, env=env),
        build("tts", chosen("tts", env), env=env),
    )


async def prepare(
    *, playbook: str | Path | None = None, hot_words: Iterable[str] = (), env: Environment | None = None
) -> None:
    """Start the workers of the offline services, if they are chosen, so that the first call need not wait for
    them.

    Without it the first call is answered about a second later.

    Args:
        playbook: As for `from_environment`.
        hot_words: As for `from_environment`.
        env: As for `from_environment`.
    """
    if chosen("stt", env) == "sphinx" and not check("stt", "sphinx", env):
        from piopiy_pipeline.services.sphinx import sphinx_pool

        spoken = (*(_playbook(Path(playbook))[1] if playbook else ()), *hot_words)
        for worker in sphinx_pool().workers:
            await worker.call("open", "prepare", spoken, 16_000)
            worker.post("close", "prepare")
    if chosen("tts", env) == "piper" and not check("tts", "piper", env):
        from piopiy_pipeline.services.piper import piper_pool

        voice = (os.environ if env is None else env).get("PIPER_VOICE")
        files = find_piper_voice(voice or None)
        await asyncio.gather(*(worker.call("load", files) for worker in piper_pool().workers))
    if chosen("tts", env) == "espeak" and not check("tts", "espeak", env):
        from piopiy_pipeline.services.espeak import espeak_pool

        for worker in espeak_pool().workers:
            await worker.call("speak", "Ready.", "en-us", 165, 50, 16_000)


def _find(kind: Kind, name: str) -> Provider:
    for provider in PROVIDERS:
        if (provider.kind, provider.name) == (kind, name):
            return provider
    raise ProviderError(f"--{kind} {name}: not known; choose one of {', '.join(names(kind))}")


def _playbook(path: Path) -> tuple[Dialogue, tuple[str, ...]]:
    """Return a playbook and its callers' phrases. The file is read again only when it has changed."""
    try:
        state = path.stat()
    except OSError:
        return _read_playbook(path, 0, 0)  # says what is wrong with it
    return _read_playbook(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read_playbook(path: Path, _changed_ns: int, _size: int) -> tuple[Dialogue, tuple[str, ...]]:
    playbook = load_playbook(path)
    return Dialogue(playbook), tuple(expected_phrases(playbook))
