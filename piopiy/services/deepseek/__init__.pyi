# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.deepseek.llm import *
from pipecat.services.deepseek import *

from typing import Any

def __getattr__(name: str) -> Any: ...
