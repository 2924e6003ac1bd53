# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.xai.tts import *
from pipecat.services.xai.stt import *
from pipecat.services.xai.realtime import *
from pipecat.services.xai.llm import *
from pipecat.services.xai import *

from typing import Any

def __getattr__(name: str) -> Any: ...
