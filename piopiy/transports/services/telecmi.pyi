# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from piopiy_pipeline.session.telecmi import *
