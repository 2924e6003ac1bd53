# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.gladia.stt import *
from pipecat.services.gladia.config import *
from pipecat.services.gladia import *

from typing import Any

def __getattr__(name: str) -> Any: ...
