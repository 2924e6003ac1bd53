# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.observers.loggers.transcription_log_observer import *
