# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.inworld.tts import *
from pipecat.services.inworld.realtime import *
from pipecat.services.inworld import *

from typing import Any

def __getattr__(name: str) -> Any: ...
