# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.smart_turn.data import *

from typing import Any

def __getattr__(name: str) -> Any: ...
