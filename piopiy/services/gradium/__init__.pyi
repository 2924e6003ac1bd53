# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.gradium.tts import *
from pipecat.services.gradium.stt import *
from pipecat.services.gradium import *

from typing import Any

def __getattr__(name: str) -> Any: ...
