# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.transports.smallwebrtc.request_handler import *
