# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.filters.base_audio_filter import *
