"""pipecat's audio contexts: the last item that waits in one can be put in the place of another, and one is kept open.

pipecat appends each piece of sound to a queue of its context, and has no way to look at what waits there. It takes
three seconds without sound for the end of a context. A connection that closes ends its contexts. Only the agent's side
may import this module: the gateway does without pipecat.

Tested in `tests/session/limits/test_joined_sound.py`, `tests/services/tts/test_local_tts.py` and
`tests/services/tts/test_kept_greetings.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipecat.services.tts_service import TTSService, WebsocketTTSService
from pipecat.utils.context.audio_context_manager import AudioContextManager

from piopiy_pipeline.compat import CompatError, check_attributes, check_parameters

__all__ = ["before_connection_closes", "check", "join_waiting", "kept_open"]

PIPECAT = ">=1.14,<1.15"
KEEP_OPEN_S = 1.0
"""Seconds between two words to pipecat that a text is still being spoken."""


def join_waiting(service: TTSService, join: Callable[[deque[Any], Any], Any | None]) -> None:
    """Have what is appended to an audio context of a voice joined with the last item that waits there.

    Args:
        service: The voice, before it runs.
        join: Takes the items that wait, at least one, and the one that comes. Returns what is to wait in the place of
            the last one and this one, or None: then both wait.
    """
    manager = service._audio_context_manager
    append = manager.append

    async def append_or_join(context_id: str, item: Any) -> None:
        queue = manager._contexts.get(context_id)
        waiting = None if queue is None else _items(queue)
        if waiting and context_id not in manager._remainders:  # half a sample stands before what comes
            both = join(waiting, item)
            if both is not None:
                waiting[-1] = both
                return
        await append(context_id, item)

    manager.append = append_or_join  # type: ignore[method-assign]


@contextmanager
def kept_open(service: TTSService, context_id: str) -> Iterator[None]:
    """Keep an audio context from ending while no sound comes: whoever makes the sound has a limit of its own."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        service._refresh_audio_context(context_id)
        timer = loop.call_later(KEEP_OPEN_S, again)

    timer = loop.call_later(KEEP_OPEN_S, again)
    try:
        yield
    finally:
        timer.cancel()


def before_connection_closes(service: TTSService, call: Callable[[], None]) -> None:
    """Have a function called before a voice ends its open audio contexts, because their connection is closed or lost.

    pipecat ends them as it ends those that are complete.

    Args:
        service: The voice, before it runs. Nothing happens if it has no connection of its own.
        call: The function.
    """
    if not isinstance(service, WebsocketTTSService):
        return
    close = service._close_connection_contexts

    async def call_and_close() -> None:
        call()
        await close()

    service._close_connection_contexts = call_and_close  # type: ignore[method-assign]


def _items(queue: asyncio.Queue[Any]) -> deque[Any]:
    return queue._queue  # type: ignore[attr-defined, no-any-return]


def check() -> None:
    """Check that pipecat and asyncio are inside as this module needs it.

    Raises:
        CompatError: Says what an upgrade has changed.
    """
    used = [
        (TTSService, "_audio_context_manager"),
        (TTSService, "append_to_audio_context"),
        (TTSService, "_refresh_audio_context"),
        (WebsocketTTSService, "_close_connection_contexts"),
        (AudioContextManager, "append"),
        (AudioContextManager, "_contexts"),
        (AudioContextManager, "_remainders"),
    ]
    check_attributes("pipecat-ai", used, written_for=PIPECAT, used_in=__name__)
    check_parameters(
        "pipecat-ai",
        AudioContextManager.append,
        ("context_id", "item"),
        written_for=PIPECAT,
        used_in=__name__,
    )
    if not isinstance(getattr(asyncio.Queue(), "_queue", None), deque):
        raise CompatError(
            "Python", "asyncio.Queue keeps no deque", written_for=">=3.11,<3.15", used_in=__name__
        )


check()
