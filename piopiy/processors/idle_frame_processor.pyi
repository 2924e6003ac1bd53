# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.idle_frame_processor import *
