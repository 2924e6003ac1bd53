"""Joins sound of a voice that waits for its turn, so that it goes on as one frame.

A voice makes sound faster than it is heard, in pieces of a tenth of a second or less, and each of them is a frame that
passes every stage behind it: a ninth of what a call costs. Those that nobody has taken yet when the next one comes are
one frame as well. Nothing waits for that: the first piece goes as soon as its turn comes.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from pipecat.frames.frames import TTSAudioRawFrame
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.compat.waiting_sound import join_waiting
from piopiy_pipeline.session.limits.sound_pieces import piece_bytes
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["join_last", "join_sound", "joined"]


def join_sound(voice: TTSService) -> None:
    """Join the sound that waits in the queues of a voice, if the output is right behind it: other stages are given what
    the voice has made, as it came.
    """

    def join(waiting: deque[Any], item: Any) -> TTSAudioRawFrame | None:
        return join_last(waiting, item) if isinstance(voice.next, BotOutput) else None

    join_waiting(voice, join)


def join_last(waiting: deque[Any], item: Any) -> TTSAudioRawFrame | None:
    """Return a frame with the sound of the last item that waits and of this one, or None if there is none, and for the
    first sound that waits: the caller waits for it, and it is not made longer.
    """
    if len(waiting) < 2 or not isinstance(waiting[-2], TTSAudioRawFrame):
        return None
    return joined(waiting[-1], item)


def joined(waiting: Any, item: Any) -> TTSAudioRawFrame | None:
    """Return a frame with the sound of both, or None if there is no such frame.

    Args:
        waiting: The last item in the queue of an audio context: a frame, a word's time or something else.
        item: What comes behind it. There is a frame of both if both are sound of one form, of which nothing else is
            known, and if it is no longer than a piece.
    """
    if not (_is_plain(waiting) and _is_plain(item) and _form(waiting) == _form(item)):
        return None
    if len(waiting.audio) + len(item.audio) > piece_bytes(waiting):
        return None
    both: TTSAudioRawFrame = copy.copy(waiting)  # the voice may keep its own frame for the next time
    both.audio = waiting.audio + item.audio
    both.num_frames = waiting.num_frames + item.num_frames
    return both


def _is_plain(item: Any) -> bool:
    return type(item) is TTSAudioRawFrame and item.pts is None and not item.metadata and _is_whole(item)


def _is_whole(frame: TTSAudioRawFrame) -> bool:
    """Return whether the sound ends with a whole sample of all channels."""
    return len(frame.audio) % (2 * max(1, frame.num_channels)) == 0


def _form(frame: TTSAudioRawFrame) -> tuple[object, ...]:
    return (
        frame.sample_rate,
        frame.num_channels,
        frame.context_id,
        frame.interruptible,
        frame.transport_destination,
    )
