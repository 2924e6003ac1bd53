# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.consumer_processor import *
