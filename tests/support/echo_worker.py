"""A worker that answers with what it is asked, fails, or dies."""

import os
import signal
import time

from piopiy_pipeline.services.workers.worker_loop import serve


def echo(value: object) -> object:
    return value


def fail() -> None:
    raise ValueError("as asked")


def wait(seconds: float) -> None:
    time.sleep(seconds)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve({method.__name__: method for method in (echo, fail, wait, die)})
