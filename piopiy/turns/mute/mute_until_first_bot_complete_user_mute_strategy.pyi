# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.turns.user_mute.mute_until_first_bot_complete_user_mute_strategy import *
