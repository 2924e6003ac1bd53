# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.mistral.tts import *
from pipecat.services.mistral.stt import *
from pipecat.services.mistral.llm import *
from pipecat.services.mistral import *

from typing import Any

def __getattr__(name: str) -> Any: ...
