# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.google.gemini_live.vertex import *
from pipecat.services.google.gemini_live.stt import *
from pipecat.services.google.gemini_live.llm import *
from pipecat.services.google.gemini_live.file_api import *
from pipecat.services.google.gemini_live import *

from typing import Any

def __getattr__(name: str) -> Any: ...
