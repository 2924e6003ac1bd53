# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.moondream.vision import *
from pipecat.services.moondream import *

from typing import Any

def __getattr__(name: str) -> Any: ...
