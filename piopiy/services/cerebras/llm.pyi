# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.cerebras.llm import *
