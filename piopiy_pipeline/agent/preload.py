"""`preload`: loads what the first call would otherwise wait for.

pipecat loads the OpenAI SDK when the first LLM service is made, of whichever provider: 0.3 to 0.8 s
in which the event loop serves nobody. So everything slow is loaded before the agent registers, and so is
what the first call would import besides.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from piopiy_pipeline.offload import offload
from piopiy_pipeline.processors.silero import load_model
from piopiy_pipeline.processors.vad_engine import shared_engine
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.trace_ids import tracing_wanted

__all__ = ["preload", "preload_blocking"]

_MODULES = (
    "pipecat.adapters.llm.services.open_ai_adapter",
    "piopiy_pipeline.processors.keys",
    "piopiy_pipeline.service_stages",
    "piopiy_pipeline.services.tts.greeting",
    "piopiy_pipeline.session.model.initial_messages",
    "piopiy_pipeline.voice_agent",
)
TRACING_MODULES = ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def _modules() -> tuple[str, ...]:
    return (*_MODULES, *(TRACING_MODULES if tracing_wanted() and find_spec("opentelemetry.sdk") else ()))


async def preload() -> None:
    """Load slow modules, what texts are spoken with, and the VAD model, off the loop.

    Raises:
        ModelMissing: There is no VAD model.
    """
    for module in _modules():
        await offload(import_module, module)
    await SpokenText().load()
    await shared_engine().load()


def preload_blocking() -> None:
    """Do as `preload` does, without an event loop, and start no thread: for a process that is forked later on.

    The model of the VAD may be shared over a fork, because its session computes in the thread that calls it and has
    none of its own.

    Raises:
        ModelMissing: There is no VAD model.
    """
    for module in _modules():
        import_module(module)
    SpokenText().load_blocking()
    load_model()
