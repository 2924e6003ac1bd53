# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.whisper.utils import *
from pipecat.services.whisper.stt import *
from pipecat.services.whisper.base_stt import *
from pipecat.services.whisper import *

from typing import Any

def __getattr__(name: str) -> Any: ...
