# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.nvidia.tts import *
from pipecat.services.nvidia.stt import *
from pipecat.services.nvidia.stt import NvidiaSTTService as _RivaSTTService
RivaSTTService = _RivaSTTService
from pipecat.services.nvidia.stt import NvidiaSegmentedSTTService as _RivaSegmentedSTTService
RivaSegmentedSTTService = _RivaSegmentedSTTService
from pipecat.services.nvidia.tts import NvidiaTTSService as _RivaTTSService
RivaTTSService = _RivaTTSService

from typing import Any

def __getattr__(name: str) -> Any: ...
