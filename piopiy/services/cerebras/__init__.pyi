# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.cerebras.llm import *
from pipecat.services.cerebras import *

from typing import Any

def __getattr__(name: str) -> Any: ...
