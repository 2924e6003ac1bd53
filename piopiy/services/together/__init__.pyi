# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.together.tts import *
from pipecat.services.together.stt import *
from pipecat.services.together.llm import *
from pipecat.services.together import *

from typing import Any

def __getattr__(name: str) -> Any: ...
