# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.observers.loggers.llm_log_observer import *
