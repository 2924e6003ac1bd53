"""`from piopiy.voice_agent import VoiceAgent`."""

from piopiy_pipeline.voice_agent import VoiceAgent

__all__ = ["VoiceAgent"]
