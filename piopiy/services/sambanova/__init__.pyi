# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.sambanova.llm import *
from pipecat.services.sambanova import *

from typing import Any

def __getattr__(name: str) -> Any: ...
