# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.sarvam.tts import *
from pipecat.services.sarvam.stt import *
from pipecat.services.sarvam.llm import *
from pipecat.services.sarvam import *

from typing import Any

def __getattr__(name: str) -> Any: ...
