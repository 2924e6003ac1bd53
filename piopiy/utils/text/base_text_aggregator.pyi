# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.text.base_text_aggregator import *
