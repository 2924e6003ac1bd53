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

__all__ = ["announce_share", "serve"]

_LENGTH = struct.Struct("<I")
_answers: BinaryIO | None = None  # of the process that serves


def serve(methods: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until the parent closes the pipe or dies.

    Args:
        methods: What a request may call, by name. Arguments and results are pickled.
    """
    global _answers
    leave_signals_to_parent()
    requests = sys.stdin.buffer
    _answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while message := _read(requests):
        method, args = pickle.loads(message)
        try:
            answer = (True, methods[method](*args))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = (False, f"{type(error).__name__}: {error}")
        try:
            _write(_answers, answer)
        except BrokenPipeError:
            return


def announce_share(share: float) -> None:
    """Tell the parent how much of the longest request the one is that is answered now: it waits for no more than that.

    A method calls it when all that takes its time whatever it is asked is done, such as to load a model. Without it
    the whole time of a reply is waited for. Where nothing is served, nothing happens.

    Args:
        share: From 0 to 1. Whoever can answer the longest in time, can answer a half of it in half of the time.
    """
    if _answers is not None:
        _write(_answers, (None, share))


def _write(pipe: BinaryIO, answer: tuple[bool | None, Any]) -> None:
    body = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def _read(pipe: BinaryIO) -> bytes:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    return pipe.read(length)
