"""`from piopiy.speech_agent import SpeechAgent`."""

from piopiy import _modules as _modules
from piopiy_pipeline.speech_agent import SpeechAgent

__all__ = ["SpeechAgent"]
