# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.asyncio.task_manager import *
