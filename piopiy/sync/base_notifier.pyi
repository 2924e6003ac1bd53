# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.utils.sync.base_notifier import *
