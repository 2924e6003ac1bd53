# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.groq.tts import *
from pipecat.services.groq.stt import *
from pipecat.services.groq.llm import *
from pipecat.services.groq import *

from typing import Any

def __getattr__(name: str) -> Any: ...
