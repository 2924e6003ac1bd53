# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.azure.realtime.llm import *
from pipecat.services.openai.realtime.events import *
from pipecat.services.openai.realtime.llm import *

from typing import Any

def __getattr__(name: str) -> Any: ...
