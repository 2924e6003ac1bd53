# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.azure.voice_live import *
from pipecat.services.azure.tts import *
from pipecat.services.azure.stt import *
from pipecat.services.azure.realtime import *
from pipecat.services.azure.llm import *
from pipecat.services.azure.image import *
from pipecat.services.azure.common import *
from pipecat.services.azure import *

from typing import Any

def __getattr__(name: str) -> Any: ...
