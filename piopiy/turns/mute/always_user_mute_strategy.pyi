# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_mute.always_user_mute_strategy import *
