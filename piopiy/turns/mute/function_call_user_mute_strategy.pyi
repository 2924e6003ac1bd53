# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_mute.function_call_user_mute_strategy import *
