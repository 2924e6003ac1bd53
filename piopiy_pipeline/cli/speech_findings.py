"""What `piopiy check` says of the ears and the voice: which they are, and what they weigh. Each model is loaded."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

from piopiy_pipeline.cli.finding import Finding

__all__ = ["speech_findings"]


def speech_findings() -> Iterator[Finding]:
    """Check what a bot hears and speaks with that asks for what the environment names."""
    from piopiy_pipeline.services.provider_table import Kind
    from piopiy_pipeline.services.providers import ProviderError, check, chosen

    kinds: tuple[tuple[Kind, str], ...] = (("stt", "ears"), ("tts", "voice"))
    for kind, role in kinds:
        provider = chosen(kind)
        named = bool(os.environ.get(f"PIOPIY_{kind.upper()}"))
        try:
            problems = check(kind, provider)
        except ProviderError as error:
            problems = [str(error)]
        if problems:
            yield Finding(role, "bad" if named else "absent", "; ".join(problems))
        else:
            yield _loaded(kind, role, provider)


def _loaded(kind: str, role: str, provider: str) -> Finding:
    from piopiy_pipeline.services.offline_models import find_offline_model
    from piopiy_pipeline.services.workers.worker_pool import close_pools
    from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost

    model = find_offline_model(kind, provider, os.environ)
    if model is None:
        return Finding(role, "ok", f"{provider}, over the network")
    if damage := model.damage():
        return Finding(role, "bad", damage)
    version = model.installed_version
    which = f"{model.name} ({model.package}{f' {version}' if version else ''}, {model.licence})"
    if model.pool is None:
        size = f"{model.megabytes} MB on disk" if model.find_files() else "not downloaded yet"
        return Finding(role, "ok", f"{which}: {size}")
    began = time.monotonic()
    try:
        asyncio.run(model.load())
        seconds, memory, processes = time.monotonic() - began, model.memory_mb(), len(model.pool().workers)
    except (WorkerFailed, WorkerLost) as error:
        return Finding(role, "bad", f"{which} cannot be loaded: {error}")
    finally:
        close_pools()
    sizes = f"{model.megabytes} MB on disk"
    if memory is not None:
        where = "1 process" if processes == 1 else f"{processes} processes"
        sizes += f", {memory} MB (PSS) in {where} before any use"
    return Finding(role, "ok", f"{which}: {sizes}, loaded in {seconds:.1f} s")
