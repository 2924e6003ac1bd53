# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.smart_turn.local_smart_turn_v2 import *
