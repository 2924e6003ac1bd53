# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.smart_turn.base_smart_turn import *
