# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.aggregators.dtmf_aggregator import *
