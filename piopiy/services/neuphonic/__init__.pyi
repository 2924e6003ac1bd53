# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.neuphonic.tts import *
from pipecat.services.neuphonic import *

from typing import Any

def __getattr__(name: str) -> Any: ...
