# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.mixers.soundfile_mixer import *
