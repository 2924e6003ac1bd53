# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.filters.krisp_viva_filter import *
