# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.google.vertex.llm import *
from pipecat.services.google.rtvi import *
from pipecat.services.google.frames import *
from pipecat.services.google.image import *
from pipecat.services.google.tts import *
from pipecat.services.google.stt import *
from pipecat.services.google.llm import *
