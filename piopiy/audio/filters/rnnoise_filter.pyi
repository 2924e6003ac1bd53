# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.filters.rnnoise_filter import *
