# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.openai.tts import *
from pipecat.services.openai.stt import *
from pipecat.services.openai.responses import *
from pipecat.services.openai.realtime import *
from pipecat.services.openai.llm import *
from pipecat.services.openai.live import *
from pipecat.services.openai.image import *
from pipecat.services.openai.base_llm import *
from pipecat.services.openai import *

from typing import Any

def __getattr__(name: str) -> Any: ...
