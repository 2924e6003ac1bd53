"""Services by name: `--stt`, `--tts` and `--llm` of the command line, and what the environment asks for.

What is missing is said with the extra or the key that helps. The table is in `provider_table.py`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from loguru import logger

from piopiy_pipeline.compat.service_keys import placeholder_key
from piopiy_pipeline.services.offline_models import OfflineModelMissing, find_offline_model
from piopiy_pipeline.services.provider_table import (
    PROVIDERS,
    Environment,
    Kind,
    Provider,
    ProviderError,
    WantedService,
    read_playbook,
)
from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost

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
    "stand_ins",
]

stand_ins: ContextVar[Mapping[Kind, Callable[[], Any]]] = ContextVar("stand_ins", default={})  # noqa: B039
"""Of a simulated call: the kinds of service that are scripted, and what makes one that is built where the bot's own
cannot be. It is replaced before the chain runs, so a test needs no keys and no models of what it scripts."""

SLOW_LOAD_S = 10.0
"""Models that are still loading after so many seconds are named in the log. At rest, a machine takes two to four."""


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of the providers of a kind, in the order of the table."""
    return tuple(provider.name for provider in PROVIDERS if provider.kind == kind)


def check(kind: Kind, name: str, env: Environment | None = None, *, read_files: bool = False) -> list[str]:
    """Find what keeps a provider from being built. It imports nothing.

    Args:
        kind: ``"stt"``, ``"tts"`` or ``"llm"``.
        name: The provider's name.
        env: The environment variables. None: those of this process.
        read_files: Also find out whether the files of its model are the right ones, which takes 0.1 s.

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
    if not problems:
        try:
            model = find_offline_model(kind, name, environment)
        except OfflineModelMissing as error:
            problems.append(str(error))
        else:
            damage = model.damage() if model is not None and read_files else None
            problems += [damage] if damage else []
    if (kind, name) == ("llm", "openai") and not (
        environment.get("OPENAI_API_KEY") or environment.get("LLM_BASE_URL")
    ):
        problems.append("openai: neither OPENAI_API_KEY nor LLM_BASE_URL is set")
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
        ProviderError: The name is not known, or an extra or a key is missing. Not in a simulated call in which
            services of this kind are scripted, and not for a key in a replay.
        PlaybookError: The playbook has a mistake.
    """
    try:
        return _build(kind, name, hot_words, playbook, env)
    except ProviderError:
        stand_in = stand_ins.get().get(kind)
        if stand_in is None:
            raise
        return stand_in()


def _build(
    kind: Kind,
    name: str,
    hot_words: Iterable[str],
    playbook: str | Path | None,
    env: Environment | None,
) -> Any:
    environment = _with_placeholder(_find(kind, name), os.environ if env is None else env)
    if problems := check(kind, name, environment):
        raise ProviderError("; ".join(problems))
    wanted = WantedService(environment, tuple(hot_words), Path(playbook) if playbook else None)
    try:
        return _find(kind, name).make(wanted)
    except ImportError as error:
        extra = _find(kind, name).extra
        help_ = f"pip install 'piopiy-pipeline[{extra}]'"
        raise ProviderError(f"{name} cannot be imported ({error}): {help_}") from error


def _with_placeholder(provider: Provider, env: Environment) -> Environment:
    """Return the environment variables with a placeholder for the provider's key, if a recording answers for it."""
    key = placeholder_key()
    keys = [name for name in provider.keys if name.endswith("_API_KEY")]
    if (provider.kind, provider.name) == ("llm", "openai") and not env.get("LLM_BASE_URL"):
        keys.append("OPENAI_API_KEY")
    missing = {name: key for name in keys if key and not env.get(name)}
    return {**env, **missing} if missing else env


def chosen(kind: Kind, env: Environment | None = None) -> str:
    """Return the name of the provider that the environment asks for, or of the default one.

    PIOPIY_STT, PIOPIY_TTS and PIOPIY_LLM name it. An OPENAI_API_KEY or an LLM_BASE_URL makes `openai` the
    default model, a PIPER_VOICE makes `piper` the default voice, and a MOONSHINE_LANGUAGE `moonshine` the default
    recogniser. Else it is the first of those that need no
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
    if kind == "stt" and environment.get("MOONSHINE_LANGUAGE"):
        return "moonshine"
    offline = [provider.name for provider in PROVIDERS if provider.kind == kind and provider.offline]
    for name in offline:
        if not (problems := check(kind, name, environment)):
            return name
        _say_missing(kind, "; ".join(problems))
    return offline[0]


@lru_cache(maxsize=16)
def _say_missing(kind: Kind, problem: str) -> None:
    """Say once why not the first provider of a kind is the default."""
    logger.warning(
        "{}, so another {} is looked for", problem, {"stt": "recogniser", "tts": "voice"}.get(kind, kind)
    )


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
    stt = build("stt", chosen("stt", env), hot_words=hot_words, playbook=playbook, env=env)
    llm = build("llm", chosen("llm", env), playbook=playbook, env=env)
    if hasattr(llm, "doubt") and hasattr(
        stt, "unsure_words"
    ):  # a playbook, and ears that know what they misheard
        llm.doubt(stt.unsure_words)
    return stt, llm, build("tts", chosen("tts", env), env=env)


async def prepare(
    kinds: Sequence[Kind] = ("stt", "tts"),
    *,
    playbook: str | Path | None = None,
    env: Environment | None = None,
) -> None:
    """Load the models that hear and speak on this machine, if they are chosen, and say so in one line of the log.
    If that takes longer than ten seconds, one more line says so.

    Without it the first caller waits for them, some seconds. A model of whisper that is not here is downloaded:
    a call never does that.

    Args:
        kinds: What the bot takes of the environment's choice; a voice of its own needs no other one loaded.
        playbook: As for `from_environment`.
        env: As for `from_environment`.

    Raises:
        ProviderError: A chosen model is not here, is damaged, or cannot be loaded.
        PlaybookError: The playbook has a mistake.
    """
    environment = os.environ if env is None else env
    if playbook:
        read_playbook(Path(playbook))
    began = time.monotonic()
    models = []
    for kind in kinds:
        name = chosen(kind, environment)
        if problems := check(kind, name, environment):
            raise ProviderError("; ".join(problems))
        if model := find_offline_model(kind, name, environment):
            models.append(model)
    if not models:
        return
    loaded = ", ".join(f"{model.role}: {model.name} {model.megabytes} MB" for model in models)
    late = asyncio.get_running_loop().call_later(SLOW_LOAD_S, logger.info, "{}, still loading", loaded)
    try:
        await asyncio.gather(*(model.load() for model in models))
    except (WorkerFailed, WorkerLost, OSError) as error:
        raise ProviderError(str(error)) from error
    finally:
        late.cancel()
    logger.info("{}, loaded in {:.1f} s", loaded, time.monotonic() - began)


def _find(kind: Kind, name: str) -> Provider:
    for provider in PROVIDERS:
        if (provider.kind, provider.name) == (kind, name):
            return provider
    raise ProviderError(
        f"--{kind} or PIOPIY_{kind.upper()}, {name!r}: not known; choose one of {', '.join(names(kind))}"
    )
