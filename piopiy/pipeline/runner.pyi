# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.pipeline.runner import *
from piopiy_pipeline.session.telecmi import ChainRunner as _PipelineRunner
PipelineRunner = _PipelineRunner
