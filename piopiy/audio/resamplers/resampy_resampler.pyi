# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.resamplers.resampy_resampler import *
