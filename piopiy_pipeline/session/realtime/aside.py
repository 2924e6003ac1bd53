"""`written_aside`: a text that a speech-to-speech model writes beside the conversation, and that nobody hears."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.session.realtime.bounded_wait import POLL_S, holds_within
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer

__all__ = ["written_aside"]

GIVEN_UP_S = 0.3
"""A text that is given up is over within so many seconds, or its provider has stalled."""


async def written_aside(provider: RealtimeProvider, answer: SpokenAnswer, text: str) -> str:
    """Have the model write what a text asks for. Given up, it leaves no trace in the session that goes on.

    Args:
        provider: The provider.
        answer: Takes what the model writes, in the place of the caller.
        text: What the model is asked.

    Returns:
        What it has written; empty if that has failed.

    Raises:
        Exception: What the provider's client raises.
    """
    written: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answer.aside = written
    provider.spares = answer.hides_beside = True
    comes = False  # as an answer of this session
    try:
        if (found := await provider.write_aside(text)) is None:
            comes = True
            found = await written
            await asyncio.sleep(POLL_S)  # why it has failed comes behind its end
        return found
    finally:
        provider.spares = False
        if comes and answer.aside is written:
            await provider.cancel()
            if not await holds_within(lambda: answer.aside is not written, GIVEN_UP_S):
                provider.answer_lost()
        answer.aside = None
        answer.hides_beside = False
