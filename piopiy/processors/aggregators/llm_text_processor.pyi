# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.aggregators.llm_text_processor import *
