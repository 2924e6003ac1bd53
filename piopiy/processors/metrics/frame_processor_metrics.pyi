# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.metrics.frame_processor_metrics import *
