# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.kokoro.tts import *
from pipecat.services.kokoro import *

from typing import Any

def __getattr__(name: str) -> Any: ...
