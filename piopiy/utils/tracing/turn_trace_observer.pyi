# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.tracing.turn_trace_observer import *
