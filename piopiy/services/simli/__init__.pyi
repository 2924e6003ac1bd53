# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.simli.video import *
from pipecat.services.simli import *

from typing import Any

def __getattr__(name: str) -> Any: ...
