# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.xtts.tts import *
from pipecat.services.xtts import *

from typing import Any

def __getattr__(name: str) -> Any: ...
