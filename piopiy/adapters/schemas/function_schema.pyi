# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.schemas.function_schema import *
