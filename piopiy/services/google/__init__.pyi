# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.google.vertex import *
from pipecat.services.google.utils import *
from pipecat.services.google.tts import *
from pipecat.services.google.stt import *
from pipecat.services.google.rtvi import *
from pipecat.services.google.llm import *
from pipecat.services.google.image import *
from pipecat.services.google.gemini_live import *
from pipecat.services.google.frames import *
from pipecat.services.google import *

from typing import Any

def __getattr__(name: str) -> Any: ...
