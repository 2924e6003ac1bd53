# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.processors.audio.audio_buffer_processor import *
