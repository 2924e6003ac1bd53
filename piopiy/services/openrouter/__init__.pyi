# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.openrouter.llm import *
from pipecat.services.openrouter import *

from typing import Any

def __getattr__(name: str) -> Any: ...
