# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.assemblyai.stt import *
from pipecat.services.assemblyai.models import *
from pipecat.services.assemblyai import *

from typing import Any

def __getattr__(name: str) -> Any: ...
