# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.clocks.system_clock import *
