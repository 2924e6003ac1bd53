# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.mem0.memory import *
from pipecat.services.mem0 import *

from typing import Any

def __getattr__(name: str) -> Any: ...
