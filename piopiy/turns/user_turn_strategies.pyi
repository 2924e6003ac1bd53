# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_turn_strategies import *
