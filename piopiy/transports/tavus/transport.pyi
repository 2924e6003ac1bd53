# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.transports.tavus.transport import *
