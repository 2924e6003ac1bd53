"""The child's side of `worker_processes.py`: it reads a request, runs it, and answers, without pipecat and an event
loop.

Standard output is the pipe to the parent. It is moved to another descriptor before a native library can print
into it, so that such output goes to standard error. Tested in ``tests/services/workers/test_worker_processes.py``.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from piopiy_pipeline.worker_process import leave_signals_to_parent

__all__ = ["serve"]

_LENGTH = struct.Struct("<I")


def serve(methods: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until the parent closes the pipe or dies.

    Args:
        methods: What a request may call, by name. Arguments and results are pickled.
    """
    leave_signals_to_parent()
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while message := _read(requests):
        method, args = pickle.loads(message)
        try:
            answer = (True, methods[method](*args))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = (False, f"{type(error).__name__}: {error}")
        body = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            answers.write(_LENGTH.pack(len(body)) + body)
            answers.flush()
        except BrokenPipeError:
            return


def _read(pipe: BinaryIO) -> bytes:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    return pipe.read(length)
