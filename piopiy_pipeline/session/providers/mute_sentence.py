"""A sentence that a voice leaves out in the middle of an answer: no error comes, and the next sentence follows.

It shows only where a service answers each sentence with its samples. One whose audio comes by a connection of its own,
for all sentences together, cannot be asked.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.session.providers.mute_voice import LEADING_S, MuteVoice
from piopiy_pipeline.text import has_words

__all__ = ["watch_sentences"]

QUOTED = 80
"""So many characters of the sentence are in the error."""
_TAG = re.compile(r"<[^<>]*>")


def watch_sentences(
    service: TTSService, *, is_active: Callable[[], bool], has_another: Callable[[], bool]
) -> None:
    """Have a voice report an error for each sentence of which nothing is heard.

    Args:
        service: The voice, before it runs.
        is_active: Whether it is the one in use.
        has_another: Whether another one can take its place. Without one, a sentence for which no samples came is on the
            record only: the model may have written what this voice cannot say, and the call goes on.
    """
    run = service.run_tts
    answers_with_audio = False

    async def run_tts(text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        nonlocal answers_with_audio
        sentence, settled = MuteVoice(), False
        async with aclosing(run(text, context_id)) as frames:
            async for frame in frames:
                if isinstance(frame, TTSAudioRawFrame):
                    sentence.audio(frame.audio, frame.sample_rate * frame.num_channels)
                    answers_with_audio = True
                elif frame is None or isinstance(frame, ErrorFrame):
                    settled = True  # its audio comes by another way, or it is known to have failed
                yield frame
        heard = settled or sentence.heard or not has_words(_TAG.sub("", text))
        if heard or not answers_with_audio or not is_active():
            return
        goes_on = sentence.silent_s < LEADING_S and not has_another()
        await service.push_error(
            f"nothing is heard of the sentence {text[:QUOTED]!r}",
            category=ErrorCategory.APPLICATION if goes_on else ErrorCategory.UNKNOWN,
        )

    service.run_tts = run_tts  # type: ignore[method-assign]
