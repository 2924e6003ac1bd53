# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.asyncai.tts import *
from pipecat.services.asyncai import *

from typing import Any

def __getattr__(name: str) -> Any: ...
