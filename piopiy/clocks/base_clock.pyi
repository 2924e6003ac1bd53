# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.clocks.base_clock import *
