# Written by scripts/write_stubs.py.
# mypy: ignore-errors

from pipecat.services.vision_service import *
from pipecat.services.tts_service import *
from pipecat.services.stt_service import *
from pipecat.services.llm_service import *
from pipecat.services.image_service import *
from pipecat.services.ai_service import *
