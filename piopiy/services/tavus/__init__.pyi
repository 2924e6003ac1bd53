# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.tavus.video import *
from pipecat.services.tavus import *

from typing import Any

def __getattr__(name: str) -> Any: ...
