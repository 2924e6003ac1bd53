# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.pipeline.base_pipeline import *
