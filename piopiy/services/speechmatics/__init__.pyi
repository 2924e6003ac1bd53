# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.speechmatics.tts import *
from pipecat.services.speechmatics.stt import *
from pipecat.services.speechmatics import *

from typing import Any

def __getattr__(name: str) -> Any: ...
