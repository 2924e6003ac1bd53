# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.perplexity.llm import *
from pipecat.services.perplexity import *

from typing import Any

def __getattr__(name: str) -> Any: ...
