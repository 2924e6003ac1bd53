# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.services import *

from typing import Any

def __getattr__(name: str) -> Any: ...
