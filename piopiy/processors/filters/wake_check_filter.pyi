# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.filters.wake_check_filter import *
