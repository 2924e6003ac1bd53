# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.xai.realtime.llm import *
from pipecat.services.xai.realtime.events import *
from pipecat.services.xai.realtime import *

from typing import Any

def __getattr__(name: str) -> Any: ...
