# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.extensions.ivr.ivr_navigator import *
