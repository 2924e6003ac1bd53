# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.qwen.llm import *
from pipecat.services.qwen import *

from typing import Any

def __getattr__(name: str) -> Any: ...
