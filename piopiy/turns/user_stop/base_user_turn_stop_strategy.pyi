# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_stop.base_user_turn_stop_strategy import *
