# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.minimax.tts import *
from pipecat.services.minimax import *

from typing import Any

def __getattr__(name: str) -> Any: ...
