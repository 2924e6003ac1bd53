"""`preload`: loads what the first call would otherwise wait for.

pipecat loads the OpenAI SDK when the first LLM service is made, of whichever provider: 0.3 to 0.8 s
in which the event loop serves nobody. So everything slow is loaded before the agent registers.
"""

from __future__ import annotations

from importlib import import_module

from piopiy_pipeline.offload import offload
from piopiy_pipeline.processors.vad_engine import shared_engine
from piopiy_pipeline.spoken_text import SpokenText

__all__ = ["preload"]

_MODULES = ("pipecat.adapters.llm.services.open_ai_adapter",)


async def preload() -> None:
    """Load slow modules, what texts are spoken with, and the VAD model, off the loop.

    Raises:
        ModelMissing: There is no VAD model.
    """
    for module in _MODULES:
        await offload(import_module, module)
    await SpokenText().load()
    await shared_engine().load()
