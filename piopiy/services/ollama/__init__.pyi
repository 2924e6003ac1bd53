# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.ollama.llm import *
from pipecat.services.ollama import *

from typing import Any

def __getattr__(name: str) -> Any: ...
