# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.observers.turn_tracking_observer import *
