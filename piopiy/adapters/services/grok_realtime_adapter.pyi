# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.adapters.llm.services.grok_realtime_adapter import *
