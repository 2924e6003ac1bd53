# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.frames.protobufs.frames_pb2 import *
