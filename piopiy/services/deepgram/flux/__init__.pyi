# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.deepgram.flux.tts_base import *
from pipecat.services.deepgram.flux.tts import *
from pipecat.services.deepgram.flux.stt_base import *
from pipecat.services.deepgram.flux.stt import *
from pipecat.services.deepgram.flux.sagemaker import *
from pipecat.services.deepgram.flux import *

from typing import Any

def __getattr__(name: str) -> Any: ...
