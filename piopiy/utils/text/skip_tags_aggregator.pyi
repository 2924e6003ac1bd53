# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.text.skip_tags_aggregator import *
