# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.elevenlabs.tts_base import *
from pipecat.services.elevenlabs.tts import *
from pipecat.services.elevenlabs.stt import *
from pipecat.services.elevenlabs.dialogue import *
from pipecat.services.elevenlabs import *

from typing import Any

def __getattr__(name: str) -> Any: ...
