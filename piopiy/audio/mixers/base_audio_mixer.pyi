# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.mixers.base_audio_mixer import *
