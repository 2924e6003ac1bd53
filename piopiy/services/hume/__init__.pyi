# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.hume.tts import *
from pipecat.services.hume import *

from typing import Any

def __getattr__(name: str) -> Any: ...
