# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.google.gemini_live.file_api import *
from pipecat.services.google.gemini_live.llm import *
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService as _GeminiMultimodalLiveLLMService
GeminiMultimodalLiveLLMService = _GeminiMultimodalLiveLLMService

from typing import Any

def __getattr__(name: str) -> Any: ...
