# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from piopiy_pipeline.turns.published_interruptions import *

from typing import Any

def __getattr__(name: str) -> Any: ...
