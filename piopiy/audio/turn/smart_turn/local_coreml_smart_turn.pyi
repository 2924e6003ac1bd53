# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.turn.smart_turn.local_coreml_smart_turn import *
