"""A worker whose process is killed while it computes. One killed from outside may be dead before it is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import Any

from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import Worker

__all__ = ["mortal_pool"]


class _Mortal(Worker):
    """A worker whose process is killed with signal 9 during some of its requests, by their numbers."""

    def __init__(self, module: str, name: str, deaths: tuple[int, ...]) -> None:
        super().__init__(module, name=name)
        self._deaths = deaths
        self._requests = 0
        self._dies_in = 0  # the thread whose request its process does not survive

    def request(self, method: str, *args: Any) -> Any:
        self._requests += 1
        if self._requests in self._deaths:
            self._dies_in = threading.get_ident()
        return super().request(method, *args)

    def _running(self) -> subprocess.Popen[bytes]:
        process = super()._running()
        if self._dies_in == threading.get_ident():
            self._dies_in = 0
            os.kill(process.pid, signal.SIGSTOP)  # it must not answer first
            os.kill(process.pid, signal.SIGKILL)
        return process


def mortal_pool(module: str, *deaths: int) -> WorkerPool:
    """Return a pool of one worker.

    Args:
        module: The module that it runs.
        deaths: The numbers of the requests, from 1, during which its process is killed.
    """
    return WorkerPool(module, name="mortal", size=1, make=lambda _: _Mortal(module, "mortal", deaths))
