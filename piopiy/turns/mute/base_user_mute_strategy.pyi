# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_mute.base_user_mute_strategy import *
