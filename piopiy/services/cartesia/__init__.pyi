# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.cartesia.turns import *
from pipecat.services.cartesia.tts import *
from pipecat.services.cartesia.stt import *
from pipecat.services.cartesia import *

from typing import Any

def __getattr__(name: str) -> Any: ...
