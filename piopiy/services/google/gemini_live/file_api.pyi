# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.google.gemini_live.file_api import *
