# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.nvidia.stt import *
from pipecat.services.nvidia.stt import NvidiaSTTService as _RivaSTTService
RivaSTTService = _RivaSTTService
from pipecat.services.nvidia.stt import NvidiaSegmentedSTTService as _RivaSegmentedSTTService
RivaSegmentedSTTService = _RivaSegmentedSTTService
