# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.text.pattern_pair_aggregator import *
