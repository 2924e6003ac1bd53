# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.pipeline.worker import *
from pipecat.workers.base_worker import BaseWorker as _BasePipelineTask
BasePipelineTask = _BasePipelineTask
