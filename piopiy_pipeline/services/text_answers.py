"""Has a speech-to-speech model answer in text, for a TTS that says it."""

from __future__ import annotations

from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.services.realtime_dialects import dialect_of

__all__ = ["answer_in_text"]


def answer_in_text(service: FrameProcessor) -> None:
    """Have a service that does not run yet ask its provider for text instead of speech.

    OpenAI and Azure: `output_modalities`. Azure Voice Live: `modalities`. Google: `modalities`, which its half-cascade
    models take; those of native audio refuse it. Of others it is not known, or pipecat's service does not hear it.

    Raises:
        ValueError: It is not known how, for this service.
    """
    settings: Any = getattr(service, "settings", None)
    name = type(service).__name__
    if (dialect := dialect_of(service)) is not None and dialect.in_text is not None:
        setattr(settings.session_properties, dialect.in_text, ["text"])
    elif name.startswith("GeminiLive"):
        if "native-audio" in str(settings.model):
            raise ValueError(
                f"{settings.model} is a model of native audio, and answers in speech alone: take one of "
                "Google's models that answer in text (modalities)"
            )
        from pipecat.services.google.gemini_live.llm import GeminiModalities

        settings.modalities = GeminiModalities.TEXT
    else:
        raise ValueError(
            f"{name} answers in speech, and it is not known here how it answers in text: take OpenAI's, "
            "Azure's or Google's service"
        )
