# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.smart_turn.http_smart_turn import *
