# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from piopiy_pipeline.session.openai_llm_context import *
from pipecat.frames.frames import LLMContextFrame as _OpenAILLMContextFrame
OpenAILLMContextFrame = _OpenAILLMContextFrame
