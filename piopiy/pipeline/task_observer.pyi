# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.pipeline.worker_observer import *
from pipecat.pipeline.worker_observer import WorkerObserver as _TaskObserver
TaskObserver = _TaskObserver
