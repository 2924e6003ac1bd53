# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.async_generator import *
