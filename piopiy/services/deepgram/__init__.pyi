# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.deepgram.tts import *
from pipecat.services.deepgram.stt import *
from pipecat.services.deepgram.sagemaker import *
from pipecat.services.deepgram.flux import *
from pipecat.services.deepgram import *

from typing import Any

def __getattr__(name: str) -> Any: ...
