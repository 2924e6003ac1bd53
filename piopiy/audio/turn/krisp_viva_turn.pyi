# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.krisp_viva_turn import *
