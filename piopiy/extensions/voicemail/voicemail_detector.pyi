# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.extensions.voicemail.voicemail_detector import *
