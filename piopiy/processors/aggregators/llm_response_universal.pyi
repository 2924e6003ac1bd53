# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.aggregators.llm_response_universal import *
