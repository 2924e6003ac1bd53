# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.aws.utils import *
from pipecat.services.aws.tts import *
from pipecat.services.aws.stt import *
from pipecat.services.aws.sagemaker import *
from pipecat.services.aws.nova_sonic import *
from pipecat.services.aws.llm import *
from pipecat.services.aws.agent_core import *
from pipecat.services.aws import *

from typing import Any

def __getattr__(name: str) -> Any: ...
