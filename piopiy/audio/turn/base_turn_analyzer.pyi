# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.base_turn_analyzer import *
