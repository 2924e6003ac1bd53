"""A worker that answers with what it is asked, computes, waits, fails, or dies."""

import os
import signal
import time
from pathlib import Path

from piopiy_pipeline.services.workers.worker_loop import announce_share, serve


def echo(value: object) -> object:
    return value


def fail() -> None:
    raise ValueError("as asked")


def wait(seconds: float) -> None:
    time.sleep(seconds)


def compute(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def compute_short(seconds: float, load_s: float = 0.0) -> None:
    """Compute, after something like the load of a model, what is known to be short."""
    compute(load_s)
    announce_share(0.0)
    compute(seconds)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path: str) -> int:
    """Die, unless the file is there already; then return the id of this process."""
    if not Path(path).exists():
        Path(path).touch()
        die()
    return os.getpid()


def spin_once(path: str) -> int:
    """Compute without end what is known to be short, unless the file is there already; then return this process's
    id.
    """
    announce_share(0.0)
    if not Path(path).exists():
        Path(path).touch()
        compute(60.0)
    return os.getpid()


def leave(code: int) -> None:
    """Close all pipes, and exit a little later, as a process does that leaves much memory behind."""
    os.closerange(0, 100)
    time.sleep(0.3)
    os._exit(code)


if __name__ == "__main__":
    serve(
        {
            method.__name__: method
            for method in (echo, fail, wait, compute, compute_short, die, die_once, spin_once, leave)
        }
    )
