# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.aws.nova_sonic.session_continuation import *
from pipecat.services.aws.nova_sonic.llm import *
from pipecat.services.aws.nova_sonic import *

from typing import Any

def __getattr__(name: str) -> Any: ...
