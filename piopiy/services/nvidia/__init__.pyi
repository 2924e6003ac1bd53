# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.nvidia.tts import *
from pipecat.services.nvidia.stt import *
from pipecat.services.nvidia.sagemaker import *
from pipecat.services.nvidia.omni import *
from pipecat.services.nvidia.llm import *
from pipecat.services.nvidia import *

from typing import Any

def __getattr__(name: str) -> Any: ...
