# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.ultravox.llm import *
from pipecat.services.ultravox import *

from typing import Any

def __getattr__(name: str) -> Any: ...
