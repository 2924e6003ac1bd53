# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.audio.krisp_instance import *
