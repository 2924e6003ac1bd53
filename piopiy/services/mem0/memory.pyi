# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.mem0.memory import *
