# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.fal.stt import *
from pipecat.services.fal.image import *
from pipecat.services.fal import *

from typing import Any

def __getattr__(name: str) -> Any: ...
