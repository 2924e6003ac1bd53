# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.piper.tts import *
from pipecat.services.piper import *

from typing import Any

def __getattr__(name: str) -> Any: ...
