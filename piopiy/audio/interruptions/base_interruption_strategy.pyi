# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from piopiy_pipeline.turns.published_interruptions import *
