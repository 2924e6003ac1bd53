# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.nvidia.llm import *
from pipecat.services.nvidia.llm import NvidiaLLMService as _NimLLMService
NimLLMService = _NimLLMService
