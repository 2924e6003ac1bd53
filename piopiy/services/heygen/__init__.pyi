# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.heygen.video import *
from pipecat.services.heygen.client import *
from pipecat.services.heygen.base_api import *
from pipecat.services.heygen.api_liveavatar import *
from pipecat.services.heygen.api_interactive_avatar import *
from pipecat.services.heygen import *

from typing import Any

def __getattr__(name: str) -> Any: ...
