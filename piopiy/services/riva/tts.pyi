# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.nvidia.tts import *
from pipecat.services.nvidia.tts import NvidiaTTSService as _RivaTTSService
RivaTTSService = _RivaTTSService
