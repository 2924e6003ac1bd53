# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.vad.vad_analyzer import *
