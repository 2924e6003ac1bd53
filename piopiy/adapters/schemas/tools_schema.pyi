# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.schemas.tools_schema import *
