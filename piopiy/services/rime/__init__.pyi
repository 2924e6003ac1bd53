# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.rime.tts_v1 import *
from pipecat.services.rime.tts import *
from pipecat.services.rime import *

from typing import Any

def __getattr__(name: str) -> Any: ...
