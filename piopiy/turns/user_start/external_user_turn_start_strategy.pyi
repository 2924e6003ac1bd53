# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_start.external_user_turn_start_strategy import *
