# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.soniox.tts import *
from pipecat.services.soniox.stt import *
from pipecat.services.soniox.errors import *
from pipecat.services.soniox import *

from typing import Any

def __getattr__(name: str) -> Any: ...
