# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.services.open_ai_realtime_adapter import *
