# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.producer_processor import *
