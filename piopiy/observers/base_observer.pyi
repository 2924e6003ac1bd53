# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.observers.base_observer import *
