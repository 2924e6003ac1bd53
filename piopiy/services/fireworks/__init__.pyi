# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.fireworks.llm import *
from pipecat.services.fireworks import *

from typing import Any

def __getattr__(name: str) -> Any: ...
