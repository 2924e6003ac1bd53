# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.resamplers.base_audio_resampler import *
