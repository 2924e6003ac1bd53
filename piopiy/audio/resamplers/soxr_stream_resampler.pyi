# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.resamplers.soxr_stream_resampler import *
