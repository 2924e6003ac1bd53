# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.text_transformer import *
