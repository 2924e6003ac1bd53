# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.base_llm_adapter import *
