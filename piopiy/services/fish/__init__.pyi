# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.fish.tts import *
from pipecat.services.fish import *

from typing import Any

def __getattr__(name: str) -> Any: ...
