"""`from piopiy.voice_agent import VoiceAgent`."""

from piopiy import _modules as _modules
from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["VoiceAgent"]
