# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.transports import *

from typing import Any

def __getattr__(name: str) -> Any: ...
