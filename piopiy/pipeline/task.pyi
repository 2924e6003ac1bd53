# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.pipeline.task import *
from pipecat.pipeline.worker import IdleFrameObserver as IdleFrameObserver
from pipecat.pipeline.worker import PipelineParams as PipelineParams
from pipecat.pipeline.worker import PipelineTaskParams as PipelineTaskParams
from pipecat.pipeline.worker import PipelineWorker as PipelineWorker
from piopiy_pipeline.session.telecmi import ChainTask as _PipelineTask
PipelineTask = _PipelineTask
