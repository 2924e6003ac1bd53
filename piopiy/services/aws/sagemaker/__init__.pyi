# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.aws.sagemaker.bidi_client import *
from pipecat.services.aws.sagemaker import *

from typing import Any

def __getattr__(name: str) -> Any: ...
