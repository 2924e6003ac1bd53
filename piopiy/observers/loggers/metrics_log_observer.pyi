# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.observers.loggers.metrics_log_observer import *
